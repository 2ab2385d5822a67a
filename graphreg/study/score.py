"""How well a case went, from the files in its folder alone.  transform.h5, Case -> errors.csv, figures.json"""

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphreg import __version__
from graphreg.analysis.metrics import sdlogj_l2r, tre, tre_snapped
from graphreg.analysis.quality import regularity
from graphreg.anatomy import Anatomy
from graphreg.core.fields import jacobian_determinant, on_grid
from graphreg.core.grid import Grid, box
from graphreg.core.records import DenseField, Landmarks
from graphreg.core.resampling import identity
from graphreg.io import read_mask, read_transform, write_text
from graphreg.io.datasets import Case
from graphreg.io.fingerprints import fingerprint
from graphreg.io.json_text import plain, write_json
from graphreg.runs.results import RECORD, TRANSFORM, read_record
from graphreg.study.files import COLUMNS, ERRORS, FIGURES, KINDS, read_figures
from graphreg.study.statistics import describe_errors

EDGE = 3  # voxels around the region: two that the figure of Learn2Reg leaves out, and one for differences


def score(case: Case, folder: Path, anatomy: Anatomy) -> dict[str, Any]:
    """Figures of the result in a folder, which errors.csv and figures.json then hold; those of this result are kept."""
    landmarks = case.landmarks()
    stamp = {"graphreg": __version__, "result": fingerprint(folder / RECORD), "landmarks": _digest(landmarks)}
    kept = read_figures(folder)
    if kept and kept.get("of") == stamp:
        return kept
    (folder / FIGURES).unlink(missing_ok=True)  # those of an earlier result
    field, record = read_transform(folder / TRANSFORM), read_record(folder) or {}
    fixed_grid, moving_grid, mask = _space(case, anatomy)
    errors = {name: _errors(field, points, moving_grid) for name, points in landmarks.items()}
    figures = {
        "case": case.name,
        "of": stamp,
        "landmark_sets": {
            name: {"count": len(landmarks[name].fixed_mm)} | {kind: describe_errors(e) for kind, e in found.items()}
            for name, found in errors.items()
        },
        **asdict(regularity(field, mask, fixed_grid)),
        "sdlogj_l2r": _as_learn2reg(field, mask, fixed_grid),
        "seconds": record.get("seconds"),
        "peak_mib": max((s["peak_mib"] or 0.0 for s in record.get("stages", {}).values()), default=None),
        "published_identity_mm": case.published_identity_mm,
        "warnings": record.get("warnings", []),
    }
    write_text(folder / ERRORS, _table(landmarks, errors))
    write_json(folder / FIGURES, figures)
    return dict(plain(figures))


def _space(case: Case, anatomy: Anatomy) -> tuple[Grid, Grid, Tensor]:
    """Grids of both images, and the fixed region (D, H, W); without voxels of the images where a mask is given."""
    file = case.inputs.get("fixed_mask")
    if file is None:
        pair = case.read()
        return pair.fixed.grid, pair.moving.grid, anatomy.find(pair.fixed)
    fixed, moving = case.grids()
    return fixed, moving, read_mask(file, fixed, case.inputs["fixed"])


def _errors(field: DenseField, landmarks: Landmarks, moving: Grid) -> dict[str, Tensor]:
    """Errors (M,) in mm of each kind."""
    return {
        "before": tre(identity, landmarks),
        "after": tre(field, landmarks),
        "before_snapped": tre_snapped(identity, landmarks, moving),
        "after_snapped": tre_snapped(field, landmarks, moving),
    }


def _as_learn2reg(field: DenseField, mask: Tensor, grid: Grid) -> float:
    """SDlogJ on the grid of the fixed image, where that challenge has its fields; only around the region."""
    part = box(mask, [EDGE] * 3)
    return sdlogj_l2r(jacobian_determinant(on_grid(field, grid.part(part))), mask[part])


def _digest(landmarks: Mapping[str, Landmarks]) -> str:
    """SHA-256 of all landmarks and the names of their sets."""
    found = hashlib.sha256()
    for name, points in landmarks.items():
        found.update(name.encode())
        found.update(torch.cat([points.fixed_mm, points.moving_mm], 1).double().numpy().tobytes())
    return found.hexdigest()


def _table(landmarks: Mapping[str, Landmarks], errors: Mapping[str, Mapping[str, Tensor]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, points in landmarks.items():
        columns = [points.fixed_mm, points.moving_mm, *(errors[name][kind][:, None] for kind in KINDS)]
        for row in torch.cat([column.double() for column in columns], 1).tolist():
            writer.writerow([name, *(f"{value:.6f}" for value in row)])
    return text.getvalue()
