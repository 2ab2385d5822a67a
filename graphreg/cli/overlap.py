"""What ``graphreg evaluate`` tells of labels: their overlap and the distance of their surfaces, before and after."""

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from graphreg.analysis.overlap import dice_by_label, hausdorff_95, hausdorff_95_l2r
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField, Volume
from graphreg.core.resampling import identity, resample
from graphreg.io.images import read_label_map


def require_both(fixed: Path | None, moving: Path | None) -> None:
    """Raise InputError where labels of one image alone are given."""
    if (fixed is None) != (moving is None):
        raise InputError("labels of both images are needed: --fixed-labels and --moving-labels")


def overlap_by_label(field: DenseField, fixed: Path | None, moving: Path | None) -> dict[str, Any]:
    """Dice and HD95 of every label of either file, as they lie and after the motion; nothing without files.

    Raises InputError.
    """
    if fixed is None or moving is None:
        return {}
    (grid, labels), (moving_grid, moving_labels) = read_label_map(fixed), read_label_map(moving)
    other = Volume(moving_grid, moving_labels.float())
    found: dict[str, dict[str, Any]] = {}
    for when, motion in (("before", identity), ("after", field)):
        seen = resample(other, grid, motion, outside=0.0, nearest=True).data.long()
        for label, dice in dice_by_label(labels, seen).items():
            figures = {"dice": dice} | _distances(labels == label, seen == label, grid)
            found.setdefault(str(label), {})[when] = figures
    return {"labels": found}


def _distances(one: Tensor, other: Tensor, grid: Grid) -> dict[str, float]:
    """In mm, and in voxels as Learn2Reg has it; NaN where one of both lacks the label."""
    if not (bool(one.any()) and bool(other.any())):
        return {"hd95_mm": math.nan, "hd95_l2r_voxels": math.nan}
    return {"hd95_mm": hausdorff_95(one, other, grid), "hd95_l2r_voxels": hausdorff_95_l2r(one, other)}


def overlap_lines(overlap: dict[str, Any]) -> list[str]:
    """A line per label."""
    lines = []
    for label, both in overlap.get("labels", {}).items():
        before, after = (both.get(when, {"dice": 0.0, "hd95_mm": math.nan}) for when in ("before", "after"))
        lines.append(
            f"label {label}: Dice {before['dice']:.3f} -> {after['dice']:.3f}, "
            f"HD95 {before['hd95_mm']:.2f} -> {after['hd95_mm']:.2f} mm"
        )
    return lines
