"""What ``graphreg invert`` does: a transform turned round, and refused where it has no inverse."""

import math
from pathlib import Path

import torch
from torch import Tensor

from graphreg.core.errors import unsuitable
from graphreg.core.fields import jacobian_determinant
from graphreg.core.grid import Grid, sample
from graphreg.core.inversion import Inversion, invert
from graphreg.core.records import DenseField
from graphreg.io import read_mask, read_transform
from graphreg.io.images import read_grid

FAR_MM = 0.1  # from the point that it should reach
SHARE = 0.001  # of the points that may be as far


def turn_round(transform: Path, reference: Path, mask: Path | None, spacing_mm: float) -> tuple[DenseField, Tensor]:
    """The inverse over an image, and how far points (N,) in the mask are from themselves there and back, in mm.

    Raises InputError where the transform has no inverse there.
    """
    field, grid = read_transform(transform), read_grid(reference)
    where = read_mask(mask, grid, reference) if mask else torch.ones(grid.shape, dtype=torch.bool)
    found = invert(field, grid.with_spacing(spacing_mm))
    points_mm = grid.points_mm(field.displacement_mm)[where]
    there_mm = found.field(points_mm)
    points_mm, there_mm = (p[field.grid.contains(there_mm)] for p in (points_mm, there_mm))
    if not len(points_mm):
        raise unsuitable(transform, f"a transform that leads to {mask or reference}", "one that leads elsewhere")
    lost = _folded(field, where, grid) + _missed(found, points_mm)
    if lost > SHARE:
        here = f"{100 * lost:.1f} % of {mask or reference}"
        raise unsuitable(transform, "a transform with an inverse", f"one that has none at {here}")
    return found.field, (field(there_mm) - points_mm).norm(dim=1)


def _folded(field: DenseField, where: Tensor, grid: Grid) -> float:
    """Share of a mask (D, H, W) of the moving image that the field reaches where it folds."""
    points_mm = field.grid.points_mm(field.displacement_mm)
    led_mm = field(points_mm[jacobian_determinant(field) <= 0])
    voxels = sample(where[None].float(), grid, led_mm, outside=0.0, nearest=True).sum().item()
    return voxels * math.prod(field.grid.spacing_mm) / (where.sum().item() * math.prod(grid.spacing_mm))


def _missed(found: Inversion, points_mm: Tensor) -> float:
    """Share of the points (N, 3) that the inverse brings somewhere else."""
    error_mm = sample(found.error_mm[None], found.field.grid, points_mm)[0]
    return (error_mm > FAR_MM).double().mean().item()
