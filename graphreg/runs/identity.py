"""What makes two results the same.  Inputs, settings -> the part of a record that is known before the work"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from graphreg import __version__
from graphreg.anatomy import Anatomy
from graphreg.config import RegistrationConfig, as_record, filled
from graphreg.core.errors import InputError
from graphreg.core.records import Volume
from graphreg.io.fingerprints import fingerprint
from graphreg.io.json_text import plain
from graphreg.presets import PRESETS
from graphreg.runs.results import RECORD, read_record

ROLES = ("fixed", "moving", "fixed_mask", "moving_mask")  # of the inputs that a registration depends on
SAME = ("graphreg", "configuration", "seed")  # besides their contents, whatever their names


def identity_of(files: Mapping[str, Path | None], config: RegistrationConfig, seed: int) -> dict[str, Any]:
    """Program, settings, seed, and inputs by role with their SHA-256. Raises InputError where one is missing."""
    return {
        "graphreg": __version__,
        "torch": torch.__version__,
        "inputs": {role: file and {"path": str(file), "sha256": fingerprint(file)} for role, file in files.items()},
        "configuration": as_record(config),
        "seed": seed,
    }


def anatomy_of(record: Mapping[str, Any]) -> Anatomy:
    """The anatomy of which a record tells, with its settings; where it tells none, as before 0.6, of the first preset.

    Raises InputError where there are no settings, or those of an anatomy that the program does not know.
    """
    configuration = record.get("configuration")
    if not isinstance(configuration, Mapping):
        raise InputError("the record of a registration with its configuration needed, another found")
    if "anatomy" not in configuration:
        return next(iter(PRESETS.values())).anatomy
    anatomy: Anatomy = filled("anatomy", configuration["anatomy"])
    return anatomy


def value_outside(transform: Path, volume: Volume) -> float:
    """What a volume that is warped by a transform holds beyond its border.

    As the anatomy has it that the record beside the transform tells; without a record the volume's smallest value.
    Raises InputError where there is a record that cannot be used.
    """
    record = read_record(transform.parent)
    if record is None:
        return float(volume.data.min())
    try:
        return anatomy_of(record).value_outside(volume)
    except InputError as error:
        raise InputError(f"{transform.parent / RECORD}: {error}") from error


def is_same(found: Mapping[str, Any] | None, record: Mapping[str, Any]) -> bool:
    """Whether a record that was read, if any, is of the result that another describes."""
    return found is not None and _identity(found) == _identity(plain(record))


def _identity(record: Mapping[str, Any]) -> list[Any]:
    inputs = record.get("inputs")
    files = inputs if isinstance(inputs, dict) else {}
    digests = {role: file.get("sha256") if isinstance(file, dict) else None for role, file in files.items()}
    return [digests, *(record.get(key) for key in SAME)]
