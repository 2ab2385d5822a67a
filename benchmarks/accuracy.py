"""Accuracy on a folder of pairs, in two steps: ``predict`` registers and keeps the result, ``score`` reads it.

Each pair is a folder with fixed.nii.gz, moving.nii.gz, landmarks.csv and, unless --no-masks, fixed_mask.nii.gz and
moving_mask.nii.gz. usage:

    python benchmarks/accuracy.py predict PAIRS OUT [--no-masks] [register options ...]
    python benchmarks/accuracy.py score PAIRS OUT
    python benchmarks/accuracy.py phantoms OUT [register options ...]     five phantoms, seeds 0 to 4, made first
"""

import json
import subprocess
import sys
from pathlib import Path

import SimpleITK as sitk
import torch
from common import cases, header, line, program, registration
from torch import Tensor

import graphreg

COLUMNS = ["pair", "landmarks", "initial", "mean", "median", "p75", "p95", "max", "folding_%", "seconds", "MiB"]


def run(command: list[str]) -> None:
    """One run of the program in a process of its own."""
    subprocess.run(command, check=True)


def predict(pairs: Path, out: Path, options: list[str]) -> None:
    """Registers every pair; a result that is there already with the same settings is kept."""
    masked = "--no-masks" not in options
    options = [option for option in options if option != "--no-masks"]
    for case in cases(pairs):
        run(registration(case, out / case.name, *options, masked=masked))


def score(pairs: Path, out: Path) -> None:
    """A table of the target registration error in mm, read from the files alone, through SimpleITK."""
    print(header(COLUMNS))
    means = []
    for case in cases(pairs):
        landmarks = graphreg.read_landmarks(case / "landmarks.csv")
        errors = graphreg.summarise(errors_mm(out / case.name / "transform.h5", landmarks))
        initial = float((landmarks.fixed_mm - landmarks.moving_mm).norm(dim=1).mean())
        figures = (initial, errors.mean_mm, errors.median_mm, errors.p75_mm, errors.p95_mm, errors.max_mm)
        print(line((case.name, errors.count, *(f"{v:.2f}" for v in figures), *account(out / case.name))))
        means.append(errors.mean_mm)
    print(f"\nmean of {len(means)} pairs: {sum(means) / len(means):.3f} mm; graphreg {graphreg.__version__}")


def errors_mm(file: Path, landmarks: graphreg.Landmarks) -> Tensor:
    """Errors (M,) of a transform."""
    transform = sitk.ReadTransform(str(file))
    mapped = torch.tensor([transform.TransformPoint(p) for p in landmarks.fixed_mm.tolist()], dtype=torch.float64)
    return (mapped - landmarks.moving_mm).norm(dim=1)


def account(folder: Path) -> tuple[str, str, str]:
    """Folding in per cent, seconds and peak MiB that the record of a result tells."""
    record = json.loads((folder / "registration.json").read_text())
    peak_mib = max(stage["peak_mib"] for stage in record["stages"].values())
    return f"{record['quality']['folding_percent']:.2f}", f"{record['seconds']:.0f}", f"{peak_mib:.0f}"


def phantoms(out: Path, options: list[str]) -> None:
    """Makes five phantoms, registers them without their masks' help and scores them."""
    for seed in range(5):
        if not (out / "pairs" / f"seed{seed}" / "phantom.json").exists():
            run(program("phantom", "-o", out / "pairs" / f"seed{seed}", "--seed", seed))
    predict(out / "pairs", out / "results", ["--no-masks", *options])
    score(out / "pairs", out / "results")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["predict", pairs, out, *options]:
            predict(Path(pairs), Path(out), options)
        case ["score", pairs, out]:
            score(Path(pairs), Path(out))
        case ["phantoms", out, *options]:
            phantoms(Path(out), options)
        case _:
            sys.exit(__doc__)
