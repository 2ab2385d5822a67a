"""Whole settings by name, one file a task."""

from graphreg.config import RegistrationConfig
from graphreg.core.errors import InputError
from graphreg.presets.lung_ct import FAST, INHALE_EXHALE

PRESETS: dict[str, RegistrationConfig] = {"inhale-exhale": INHALE_EXHALE, "fast": FAST}


def preset(name: str) -> RegistrationConfig:
    """The settings of that name. Raises InputError where there are none."""
    if name not in PRESETS:
        raise InputError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]
