"""What makes two results the same.  Inputs, settings -> the part of a record that is known before the work"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from graphreg import __version__
from graphreg.config import RegistrationConfig
from graphreg.io.fingerprints import fingerprint
from graphreg.io.json_text import plain

ROLES = ("fixed", "moving", "fixed_mask", "moving_mask")  # of the inputs that a registration depends on
SAME = ("graphreg", "configuration", "seed")  # besides their contents, whatever their names


def identity_of(files: Mapping[str, Path | None], config: RegistrationConfig, seed: int) -> dict[str, Any]:
    """Program, settings, seed, and inputs by role with their SHA-256. Raises InputError where one is missing."""
    return {
        "graphreg": __version__,
        "torch": torch.__version__,
        "inputs": {role: file and {"path": str(file), "sha256": fingerprint(file)} for role, file in files.items()},
        "configuration": asdict(config),
        "seed": seed,
    }


def is_same(found: Mapping[str, Any] | None, record: Mapping[str, Any]) -> bool:
    """Whether a record that was read, if any, is of the result that another describes."""
    return found is not None and _identity(found) == _identity(plain(record))


def _identity(record: Mapping[str, Any]) -> list[Any]:
    inputs = record.get("inputs")
    files = inputs if isinstance(inputs, dict) else {}
    digests = {role: file.get("sha256") if isinstance(file, dict) else None for role, file in files.items()}
    return [digests, *(record.get(key) for key in SAME)]
