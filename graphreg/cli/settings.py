"""The settings of a registration as the options of a verb ask for them."""

import warnings
from dataclasses import replace
from pathlib import Path

from graphreg.cli.console import warn
from graphreg.config import RegistrationConfig, override
from graphreg.core.errors import InputError
from graphreg.presets import preset as named_preset


def settings_of(
    preset: str, file: Path | None, regulariser: str | None = None, refined: bool = True
) -> RegistrationConfig:
    """Settings of a preset, with those of a TOML file and of options in their place.

    Raises InputError, which names the file where it is wrong.
    """
    settings = _settings_of(preset, file)
    settings = settings.with_regulariser(regulariser) if regulariser else settings
    return settings if refined else replace(settings, refinement=())


def _settings_of(preset: str, file: Path | None) -> RegistrationConfig:
    settings = named_preset(preset)
    if file is None:
        return settings
    try:
        return _overridden(settings, file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: a TOML file needed, found {error.strerror}") from error
    except ValueError as error:  # also of the text: no UTF-8, no TOML
        raise InputError(f"{file}: {error}") from error


def _overridden(settings: RegistrationConfig, toml: str) -> RegistrationConfig:
    """Settings with those of a text in their place; the user is told of names that will go, which Python would hide."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", DeprecationWarning)
        changed = override(settings, toml)
    for warning in told:
        warn(str(warning.message))
    return changed
