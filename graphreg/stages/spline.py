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

    smoothness_mm: float = 1.0  # 0 interpolates the keypoints exactly
    lattice_mm: float = 4.0  # evaluated so far apart and cubic between: 0.01 mm off on average; 0 evaluates every voxel
    chunk: int = 8192  # points evaluated at once; bounds memory

    def __post_init__(self) -> None:
        if not (self.smoothness_mm >= 0 and self.lattice_mm >= 0 and self.chunk >= 1):
            need = "spline needs smoothness_mm and lattice_mm of at least 0 and a chunk of at least 1"
            raise ValueError(f"{need}, got {self.smoothness_mm}, {self.lattice_mm}, {self.chunk}")


def interpolate(displacements: Displacements, grid: Grid, config: SplineConfig = SplineConfig()) -> DenseField:
    """Displacement at every voxel of a grid.

    Raises:
        ValueError: fewer than four keypoints, all in one plane, or coinciding ones that are to be interpolated.
    """
    spline = fit(displacements, config)
    lattice = grid if config.lattice_mm == 0 else grid.with_spacing(config.lattice_mm)
    field = displacements.vectors_mm.new_empty(3, *lattice.shape)
    for slab in lattice.slabs(config.chunk):
        points = lattice.points_mm(field, slab)
        values = torch.cat([spline(part) for part in points.reshape(-1, 3).split(config.chunk)])
        field[:, slab] = values.T.reshape(3, *points.shape[:3])
    return DenseField(grid, field if lattice is grid else _upsample(field, lattice, grid))


def _upsample(data: Tensor, lattice: Grid, grid: Grid) -> Tensor:
    """Cubic B-spline interpolation of data (C, d, h, w) on a lattice at the voxels of a grid with the same axes."""
    first = lattice.to_index(torch.tensor(grid.origin_mm, dtype=torch.float64))
    for axis, size in enumerate(grid.shape):
        ratio = list(reversed(grid.spacing_mm))[axis] / list(reversed(lattice.spacing_mm))[axis]
        where = first[axis] + ratio * torch.arange(size, dtype=torch.float64)
        matrix = cubic_matrix(data.shape[1], where).to(data)
        data = torch.tensordot(data, matrix, dims=([1], [1]))  # the axis done moves to the end: z, y, x in turn
    return data


def cubic_matrix(size: int, where: Tensor) -> Tensor:
    """Weights (M, size) that interpolate samples 0 ... size - 1 at fractional indices (M,) by a natural cubic B-spline.

    Unser (1999): the basis at the new places times the inverse of the basis at the samples. The natural end,
    a second derivative of zero, keeps straight lines straight.
    """
    knots = torch.arange(-1, size + 1, dtype=torch.float64)
    at_samples = _cubic_basis(knots[1:-1, None] - knots)
    ends = at_samples.new_zeros(2, size + 2)
    ends[0, :3] = ends[1, -3:] = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    coefficients = torch.linalg.inv(torch.cat((at_samples, ends)))[:, :size]
    return _cubic_basis(where[:, None] - knots) @ coefficients


def _cubic_basis(x: Tensor) -> Tensor:
    x = x.abs()
    return torch.where(x < 1, 2 / 3 - x**2 + x**3 / 2, (2 - x).clamp_min(0) ** 3 / 6)


def fit(displacements: Displacements, config: SplineConfig = SplineConfig()) -> Callable[[Tensor], Tensor]:
    """The spline itself: points (M, 3) in mm to displacements (M, 3) in mm."""
    knots = displacements.keypoints.points_mm.double()
    centre = knots.mean(0)
    knots = knots - centre
    count = len(knots)
    flatness = torch.linalg.eigvalsh(knots.T @ knots)  # LU alone does not see a plane through the rounding
    if count < 4 or bool(flatness[0] <= 1e-10 * flatness[2]):
        raise ValueError(f"A spline needs at least 4 keypoints that are not in one plane, got {count}")
    system = knots.new_zeros(count + 4, count + 4)
    system[:count, :count] = -torch.cdist(knots, knots, compute_mode="donot_use_mm_for_euclid_dist")
    system.diagonal()[:count].add_(config.smoothness_mm / displacements.confidence.double())
    system[:count, count] = system[count, :count] = 1
    system[:count, count + 1 :] = knots
    system[count + 1 :, :count] = knots.T
    values = torch.cat((displacements.vectors_mm.double(), knots.new_zeros(4, 3)))
    solution, failed = torch.linalg.solve_ex(system, values)
    left = (system @ solution - values).abs().amax()  # LU sees no more of coinciding knots than of a plane
    if bool(failed) or not bool(left < 1e-3):
        raise ValueError("A spline without smoothness needs keypoints that do not coincide")
    dtype = displacements.vectors_mm.dtype
    knots, weights, affine = knots.to(dtype), solution[:count].to(dtype), solution[count:].to(dtype)

    def spline(points_mm: Tensor) -> Tensor:
        local = (points_mm - centre.to(points_mm)).to(dtype)
        distances = torch.cdist(local, knots, compute_mode="donot_use_mm_for_euclid_dist")
        return affine[0] + local @ affine[1:] - distances @ weights

    return spline
