"""Small data sets, and functions in place of a registration that other processes can import."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import torch

from graphreg.config import RegistrationConfig
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField, Landmarks, Volume
from graphreg.io import write_landmarks, write_transform, write_volume
from graphreg.io.datasets import Case, DataSet
from graphreg.io.json_text import write_json
from graphreg.presets.lung_ct import INHALE_EXHALE
from graphreg.runs.identity import is_same
from graphreg.runs.results import RECORD, TRANSFORM, read_record
from graphreg.study.predict import run_of

GRID = Grid((8, 9, 10), (2.0, 2.0, 3.0), (-5.0, 0.0, 10.0))
CONFIG: RegistrationConfig = replace(INHALE_EXHALE, refinement=())
STEP_MM = torch.tensor([2.0, 0.0, 0.0], dtype=torch.float64)


def tiny_dataset(folder: Path, count: int) -> DataSet:
    """Cases of one pair of tiny images; landmark k of the first n moves by 2 mm in x."""
    generator = torch.Generator().manual_seed(1)
    files = {role: folder / f"{role}.nii.gz" for role in ("fixed", "moving", "fixed_mask", "moving_mask")}
    for role in ("fixed", "moving"):
        write_volume(Volume(GRID, 100 * torch.randn(GRID.shape, generator=generator)), files[role])
        mask = torch.zeros(GRID.shape, dtype=torch.bool)
        mask[1:-1, 1:-1, 1:-1] = True
        write_volume((GRID, mask), files[f"{role}_mask"])
    points_mm = GRID.to_mm(torch.tensor([[2.0, 3.0, 4.0], [3.0, 4.0, 5.0], [4.0, 4.0, 4.0], [5.0, 6.0, 6.0]]).double())
    write_landmarks(folder / "landmarks.csv", Landmarks(points_mm, points_mm + STEP_MM))
    inputs = files | {"landmarks": folder / "landmarks.csv"}
    return DataSet("tiny", tuple(Case(f"case{number}", dict(inputs)) for number in range(1, count + 1)))


def shift_by(case, config, folder, seed, resume, motion_mm):
    """Writes a motion by so many mm in x as the result."""
    record = run_of(case, config, Path(), seed=seed).record
    if resume and is_same(read_record(folder), record):
        return False
    with open(folder.parent.parent / "computed.txt", "a", encoding="utf-8") as log:
        log.write(f"{case.name} {os.getpid()}\n")
    displacement_mm = torch.zeros(3, *GRID.shape)
    displacement_mm[0] = motion_mm
    write_transform(DenseField(GRID, displacement_mm), folder / TRANSFORM)
    write_json(folder / RECORD, record | {"seconds": 1.5, "stages": {"mask": {"seconds": 1.0, "peak_mib": 100.0}}})
    return True


def perfect(case, config, folder, *, device, seed, resume):
    return shift_by(case, config, folder, seed, resume, 2.0)


def half(case, config, folder, *, device, seed, resume):
    return shift_by(case, config, folder, seed, resume, 1.0)


def slow(case, config, folder, *, device, seed, resume):
    time.sleep(0.3)
    return shift_by(case, config, folder, seed, resume, 2.0)


def tells_where(case, config, folder, *, device, seed, resume):
    """Leaves the device and the process of each case."""
    time.sleep(0.3)
    (folder.parent.parent / f"{case.name}.txt").write_text(f"{device} {os.getpid()}", encoding="utf-8")
    return shift_by(case, config, folder, seed, resume, 2.0)


def second_fails(case, config, folder, *, device, seed, resume):
    if case.name == "case2":
        raise ValueError("no lung\nfound")
    return shift_by(case, config, folder, seed, resume, 2.0)


def dies(case, config, folder, *, device, seed, resume):
    os.kill(os.getpid(), signal.SIGKILL)


def second_dies(case, config, folder, *, device, seed, resume):
    if case.name == "case2":
        os.kill(os.getpid(), signal.SIGKILL)
    return shift_by(case, config, folder, seed, resume, 2.0)


def hangs_half_written(case, config, folder, *, device, seed, resume):
    """As a registration that is interrupted while it writes: the first case is done, others never are."""
    from graphreg.io import atomic_path

    if case.name == "case1":
        return shift_by(case, config, folder, seed, resume, 2.0)
    with atomic_path(folder / TRANSFORM) as temporary:
        temporary.write_text(str(os.getpid()))
        time.sleep(60)
    return True


def computed(out: Path) -> list[str]:
    """Names of the cases that were computed, as often as they were."""
    log = out.parent / "computed.txt"
    return [line.split()[0] for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


# a study of two workers that never ends, as a program
SCRIPT = """
import sys
from pathlib import Path
from support import study_cases
from graphreg.study.runner import run_study
if __name__ == "__main__":
    dataset = study_cases.tiny_dataset(Path("data"), 3)
    run_study(dataset, study_cases.CONFIG, "out", 2, predict=study_cases.hangs_half_written)
"""
