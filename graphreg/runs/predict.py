"""One case to a folder with its registration.  Case, RegistrationConfig -> transform.h5 ... registration.json"""

import time
from pathlib import Path
from typing import Any

from graphreg.config import RegistrationConfig
from graphreg.io.datasets import Case
from graphreg.pipeline import register
from graphreg.runs.identity import ROLES, identity_of, is_same
from graphreg.runs.requirements import require_memory
from graphreg.runs.results import is_whole, read_record, write_result
from graphreg.runtime.devices import choose_device


def predict(
    case: Case, config: RegistrationConfig, folder: Path, *, device: str = "auto", seed: int = 0, resume: bool = False
) -> bool:
    """Register a case and write the result; False where ``resume`` found that of the same inputs and settings.

    Raises:
        InputError: a file of the case cannot be used, or its images cannot be registered.
    """
    record = record_of(case, config, seed)
    if resume and is_whole(folder, config.symmetric) and is_same(read_record(folder), record):
        return False
    start = time.perf_counter()
    require_memory(case.inputs["fixed"], case.inputs["moving"], config, choose_device(device))
    pair = case.read()
    done = register(pair, config=config, device=device, seed=seed)
    seconds = time.perf_counter() - start  # reading and computing
    account = record | {"seconds": seconds} | done.account()
    write_result(folder, done.field, done.warp(pair.moving), done.keypoints, account, done.backward)
    return True


def record_of(case: Case, config: RegistrationConfig, seed: int) -> dict[str, Any]:
    """What is known of a registration before it is done. Raises InputError where an input is missing."""
    return identity_of({role: case.inputs.get(role) for role in ROLES}, config, seed) | {"case": case.name}
