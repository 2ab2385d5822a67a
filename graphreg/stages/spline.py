"""Stage 6: keypoint displacements to a dense field.  Displacements, grid -> DenseField

Thin-plate smoothing spline (Bookstein 1989; Wahba 1990; Rohr et al. 2001). In three dimensions the biharmonic kernel
is U(r) = -r (not r^2 log r, the planar one):

    v(x) = a + B x - sum_i w_i |x - p_i|,   with (K + s diag(1 / c)) w + P [a; B] = v and P' w = 0,

where s is the smoothness in mm and c_i the confidence of a keypoint. Solved in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.grid import Grid
from graphreg.records import DenseField, Displacements


@dataclass(frozen=True, kw_only=True)
class SplineConfig:
    """How closely the spline follows the keypoints. Raises ValueError where a number is out of range."""

    smoothness_mm: float = 3.0  # 0 interpolates the keypoints exactly
    chunk: int = 8192  # points evaluated at once; bounds memory

    def __post_init__(self) -> None:
        if self.smoothness_mm < 0 or self.chunk < 1:
            raise ValueError(f"spline needs smoothness >= 0 mm and chunk >= 1, got {self.smoothness_mm}, {self.chunk}")


def interpolate(displacements: Displacements, grid: Grid, config: SplineConfig = SplineConfig()) -> DenseField:
    """Displacement at every voxel of a grid.

    Raises:
        ValueError: fewer than four keypoints, or all in one plane.
    """
    spline = fit(displacements, config)
    field = displacements.vectors_mm.new_empty(3, *grid.shape)
    for slab in grid.slabs(config.chunk):
        points = grid.points_mm(field, slab)
        field[:, slab] = spline(points.reshape(-1, 3)).T.reshape(3, *points.shape[:3])
    return DenseField(grid, field)


def fit(displacements: Displacements, config: SplineConfig = SplineConfig()) -> Callable[[Tensor], Tensor]:
    """The spline itself: points (M, 3) in mm to displacements (M, 3) in mm."""
    knots = displacements.keypoints.points_mm.double()
    centre = knots.mean(0)
    knots = knots - centre
    count = len(knots)
    system = knots.new_zeros(count + 4, count + 4)
    system[:count, :count] = -torch.cdist(knots, knots, compute_mode="donot_use_mm_for_euclid_dist")
    system.diagonal()[:count].add_(config.smoothness_mm / displacements.confidence.double())
    system[:count, count] = system[count, :count] = 1
    system[:count, count + 1 :] = knots
    system[count + 1 :, :count] = knots.T
    values = torch.cat((displacements.vectors_mm.double(), knots.new_zeros(4, 3)))
    solution, failed = torch.linalg.solve_ex(system, values)
    if count < 4 or bool(failed) or not bool(torch.isfinite(solution).all()):
        raise ValueError(f"A spline needs at least 4 keypoints that are not in one plane, got {count}")
    dtype = displacements.vectors_mm.dtype
    knots, weights, affine = knots.to(dtype), solution[:count].to(dtype), solution[count:].to(dtype)

    def spline(points_mm: Tensor) -> Tensor:
        local = (points_mm - centre.to(points_mm)).to(dtype)
        distances = torch.cdist(local, knots, compute_mode="donot_use_mm_for_euclid_dist")
        return affine[0] + local @ affine[1:] - distances @ weights

    return spline
