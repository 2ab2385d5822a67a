"""One case to a folder with its registration.  Case, RegistrationConfig -> transform.h5 ... registration.json"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from graphreg import __version__
from graphreg.config import RegistrationConfig
from graphreg.io.datasets import Case
from graphreg.io.results import TRANSFORM, fingerprint, plain, read_record, write_result
from graphreg.pipeline import register

ROLES = ("fixed", "moving", "fixed_mask", "moving_mask")  # of the files that a registration depends on
SAME = ("graphreg", "configuration", "seed")  # besides the contents of the inputs


def predict(
    case: Case, config: RegistrationConfig, folder: Path, *, device: str = "auto", seed: int = 0, resume: bool = False
) -> bool:
    """Register a case and write the result; False where ``resume`` found that of the same inputs and settings.

    Raises:
        InputError: a file of the case cannot be used.
        ValueError: its images cannot be registered.
    """
    record = record_of(case, config, seed)
    if resume and is_done(folder, record):
        return False
    start = time.perf_counter()
    pair = case.read()
    done = register(pair, config=config, device=device, seed=seed)
    outcome = {
        "device": done.device,
        "seconds": time.perf_counter() - start,  # reading and computing
        "stages": {name: asdict(cost) for name, cost in done.stages.items()},
        "keypoints": len(done.keypoints.keypoints),
        "quality": asdict(done.quality),
        "refinement": done.traces,
    }
    write_result(folder, done.field, done.warp(pair.moving), done.keypoints, record | outcome, done.backward)
    return True


def record_of(case: Case, config: RegistrationConfig, seed: int) -> dict[str, Any]:
    """What is known of a registration before it is done. Raises InputError where an input is missing."""
    files = {role: case.inputs[role] for role in ROLES if role in case.inputs}
    return {
        "graphreg": __version__,
        "torch": torch.__version__,
        "case": case.name,
        "inputs": {role: {"path": str(file), "sha256": fingerprint(file)} for role, file in files.items()},
        "configuration": asdict(config),
        "seed": seed,
    }


def is_done(folder: Path, record: Mapping[str, Any]) -> bool:
    """Whether a folder holds the result that such a record describes; it is written last, so the rest is there too."""
    found = read_record(folder) or {}
    return _identity(found) == _identity(plain(record)) and (folder / TRANSFORM).is_file()


def _identity(record: Mapping[str, Any]) -> list[Any]:
    """What makes two results the same: program, settings, seed and contents of the inputs, whatever their names."""
    inputs = record.get("inputs")
    files = inputs if isinstance(inputs, dict) else {}
    digests = {role: file.get("sha256") if isinstance(file, dict) else None for role, file in files.items()}
    return [digests, *(record.get(key) for key in SAME)]
