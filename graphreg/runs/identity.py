"""What makes two results the same.  Inputs, settings -> the part of a record that is known before the work"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from graphreg import __version__
from graphreg.anatomy import ANATOMIES, Anatomy
from graphreg.config import RegistrationConfig, as_record
from graphreg.core.errors import InputError
from graphreg.core.records import Volume
from graphreg.io.fingerprints import fingerprint
from graphreg.io.json_text import plain
from graphreg.presets import PRESETS
from graphreg.runs.results import read_record

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
    """The anatomy, as it comes, that a record names; that of the first preset where it names none, as before 0.6."""
    configuration = record.get("configuration")
    told = configuration.get("anatomy") if isinstance(configuration, Mapping) else None
    kind = told.get("kind") if isinstance(told, Mapping) else None
    if isinstance(kind, str) and kind not in ANATOMIES:
        raise InputError(f"an anatomy among {', '.join(ANATOMIES)} needed, found {kind}")
    return ANATOMIES[kind]() if isinstance(kind, str) else next(iter(PRESETS.values())).anatomy


def value_outside(transform: Path, volume: Volume) -> float:
    """What a volume that is warped by a transform holds beyond its border.

    As the anatomy has it that the record beside the transform names; without a record the volume's smallest value.
    """
    record = read_record(transform.parent)
    return float(volume.data.min()) if record is None else anatomy_of(record).value_outside(volume)


def is_same(found: Mapping[str, Any] | None, record: Mapping[str, Any]) -> bool:
    """Whether a record that was read, if any, is of the result that another describes."""
    return found is not None and _identity(found) == _identity(plain(record))


def _identity(record: Mapping[str, Any]) -> list[Any]:
    inputs = record.get("inputs")
    files = inputs if isinstance(inputs, dict) else {}
    digests = {role: file.get("sha256") if isinstance(file, dict) else None for role, file in files.items()}
    return [digests, *(record.get(key) for key in SAME)]
