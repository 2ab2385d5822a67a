"""A small study made by hand from a coarse phantom and its exact motion, for the pages that show it."""

import csv
import json
from pathlib import Path

import torch
from torch import Tensor

from graphreg.core.records import DenseField, Displacements, Keypoints, Landmarks
from graphreg.core.resampling import resample
from graphreg.io import write_volume
from graphreg.io.fingerprints import fingerprint
from graphreg.phantom import PhantomConfig, make_phantom
from graphreg.runs.results import write_result

COARSE = PhantomConfig(
    fixed_spacing_mm=(6.0, 8.0), moving_spacing_mm=(6.5, 7.0), vessel_spacing_mm=25.0, texture_mm=12.0, landmarks=40
)
HOSTILE = "<img src=x onerror=alert(1)>"  # as a name of a folder can be
NAMES = ("second", HOSTILE, "first")
FAILURE = "/data/patient smith/lost.nii.gz: an image needed, nothing found"


def make_study(root: Path) -> Path:
    """Three cases with the exact motion, one of them with a hostile name, and a failure."""
    phantom = make_phantom(3, COARSE)
    pair, marks = phantom.pair, phantom.landmarks
    inputs = root / "patients of today"
    assert pair.fixed_mask is not None
    paths = {name: inputs / f"{name}.nii.gz" for name in ("fixed", "moving", "fixed_mask")}
    write_volume(pair.fixed, paths["fixed"])
    write_volume(pair.moving, paths["moving"])
    write_volume((pair.fixed.grid, pair.fixed_mask), paths["fixed_mask"])
    points_mm = pair.fixed.grid.points_mm(torch.empty(0, dtype=torch.float64))
    moved_mm = phantom.motion(points_mm.reshape(-1, 3)).reshape(points_mm.shape)
    field = DenseField(pair.fixed.grid, (moved_mm - points_mm).movedim(-1, 0).float())
    before_mm = (marks.moving_mm - marks.fixed_mm).norm(dim=1)
    after_mm = (field(marks.fixed_mm) - marks.moving_mm).norm(dim=1)
    keypoints = Displacements(Keypoints(marks.fixed_mm), marks.moving_mm - marks.fixed_mm, torch.ones(len(before_mm)))
    rows: list[list[object]] = []
    out = root / "study"
    for number, name in enumerate(NAMES):
        record = {
            "graphreg": "0.0",
            "inputs": {role: {"path": str(path), "sha256": fingerprint(path)} for role, path in paths.items()},
            "configuration": {"note": HOSTILE},
            "seconds": 1.25,
            "quality": {"sdlogj": 0.123456, "inverse_consistency_mm": None},
        }
        write_result(out / name, field, resample(pair.moving, pair.fixed.grid, field), keypoints, record)
        write_errors(out / name / "errors.csv", marks, before_mm, after_mm + number)
        rows.append([name, "all & <b>", len(after_mm), (after_mm.mean() + number).item(), before_mm.mean().item()])
    write_csv(out / "results.csv", ["case", "landmark_set", "count", "mean_mm", "initial_mm"], rows)
    over = {f"{name}_mm": 1.23456 for name in ("mean", "sd", "median", "p25", "p75", "p95", "worst_30")}
    over_cases = {"after": {"interval_mm": [1.0, 2.0], "count": 3}}
    errors = {"over_landmarks": {"after": over | {"above_5_mm": 0.5}}, "over_cases": over_cases}
    summary = {"errors": {"all & <b>": errors}, "figures": {}}
    (out / "summary.json").write_text(json.dumps(summary))
    listed = [{"name": name, "inputs": {"fixed": str(paths["fixed"])}} for name in (*NAMES, "gone")]
    study = {"graphreg": "0.0", "dataset": "phantoms", "configuration": {"file": str(paths["fixed"])}}
    (out / "study.json").write_text(json.dumps(study | {"cases": listed, "failures": {"gone": FAILURE}}))
    return out


def write_errors(path: Path, marks: Landmarks, before_mm: Tensor, after_mm: Tensor) -> None:
    """The errors of every landmark."""
    from graphreg.study.files import NEEDED  # needs an extra

    numbers = torch.cat([marks.fixed_mm, marks.moving_mm, before_mm[:, None], after_mm[:, None]], 1).tolist()
    write_csv(path, list(NEEDED), [["all & <b>", *row] for row in numbers])


def write_csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    """A table."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
