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

from graphreg.core.errors import InputError
from graphreg.core.filters import box_max
from graphreg.core.grid import Grid
from graphreg.core.lattice import cubic, transfer
from graphreg.core.records import DenseField, Displacements, Keypoints
from graphreg.core.settings import Settings
from graphreg.runtime.chunks import rows, single_thread

NEAR = 3  # steps of the lattice from a knot within which every point of it is evaluated
BLOCK = 8  # points of a lattice along each axis that are evaluated together
SYSTEM = 24  # bytes per pair of keypoints: the equations, what is left of them across the plane, and the factor

Spline = Callable[[Tensor], Tensor]  # points (M, 3) in mm to displacements (M, 3) in mm


@dataclass(frozen=True, kw_only=True)
class ThinPlate(Settings):
    """How closely the spline follows the keypoints. Raises InputError where a number is out of range."""

    smoothness_mm: float = 1.0  # 0 interpolates the keypoints exactly
    lattice_mm: float = 4.0  # evaluated so far apart and cubic between: 0.01 mm off on average; 0 evaluates every voxel

    def check(self) -> None:
        if not (self.smoothness_mm >= 0 and self.lattice_mm >= 0):
            need = "spline needs smoothness_mm and lattice_mm of at least 0"
            raise InputError(f"{need}, got {self.smoothness_mm} and {self.lattice_mm}")

    def least_bytes(self, keypoints: float) -> float:
        """Memory that so many keypoints take at least."""
        return SYSTEM * keypoints**2

    def __call__(self, displacements: Displacements, grid: Grid) -> DenseField:
        """Displacement at every voxel of a grid.

        Raises:
            InputError: fewer than four keypoints, all in one plane, or coinciding ones that are to be interpolated.
        """
        spline, like = self.fit(displacements), displacements.vectors_mm
        if self.lattice_mm == 0:
            return DenseField(grid, _everywhere(spline, grid, like))
        lattice, wide = (grid.with_spacing(step * self.lattice_mm) for step in (1, 2))
        field = transfer(_everywhere(spline, wide, like), wide, lattice, (cubic,) * 3)
        near = _near(displacements.keypoints, lattice)
        z, y, x = near.unbind(1)
        field[:, z, y, x] = _at(spline, lattice, near).T
        return DenseField(grid, transfer(field, lattice, grid, (cubic,) * 3))

    def fit(self, displacements: Displacements) -> Spline:
        """The spline itself: points (M, 3) in mm to displacements (M, 3) in mm. Raises InputError as above."""
        knots = displacements.keypoints.points_mm.double()
        centre = knots.mean(0)
        knots = knots - centre
        smoothness = self.smoothness_mm / displacements.confidence.double()
        weights, affine = _solve(knots, displacements.vectors_mm.double(), smoothness)
        dtype = displacements.vectors_mm.dtype

        def spline(points_mm: Tensor) -> Tensor:
            parts = (points_mm.double() - centre).split(rows(len(knots), knots.device))
            smooth = ((affine[0] + p @ affine[1:]).to(dtype) - _potential(p, knots, weights, dtype) for p in parts)
            return torch.cat(list(smooth))

        return spline


def _everywhere(spline: Spline, grid: Grid, like: Tensor) -> Tensor:
    """The spline (3, D, H, W) at every voxel of a grid."""
    field = like.new_empty(3, *grid.shape)
    for slab in grid.slabs():
        points_mm = grid.points_mm(field, slab)
        field[:, slab] = spline(points_mm.reshape(-1, 3)).T.unflatten(1, points_mm.shape[:3])
    return field


def _near(keypoints: Keypoints, lattice: Grid) -> Tensor:
    """Indices (n, 3) of the lattice points near a knot; away from them the spline is so smooth that half as many do."""
    index = lattice.to_index(keypoints.points_mm).round().long()
    size = torch.tensor(lattice.shape, device=index.device)
    inside = ((index > -NEAR) & (index < size - 1 + NEAR)).all(1)
    occupied = torch.zeros(lattice.shape, device=index.device)
    z, y, x = index[inside].clamp_min(0).minimum(size - 1).unbind(1)
    occupied[z, y, x] = 1.0
    return box_max(occupied, (NEAR,) * 3).nonzero()


def _at(spline: Spline, grid: Grid, index: Tensor) -> Tensor:
    """The spline (n, 3) at voxels (n, 3) of a grid, block by block: points at work together lie together."""
    blocks = index // BLOCK
    order = ((blocks[:, 0] * grid.shape[1] + blocks[:, 1]) * grid.shape[2] + blocks[:, 2]).argsort(stable=True)
    values = spline(grid.to_mm(index[order].double()))
    out = torch.empty_like(values)
    out[order] = values
    return out


def _potential(points: Tensor, knots: Tensor, weights: Tensor, dtype: torch.dtype) -> Tensor:
    """sum_i w_i |x - p_i| (M, 3). Distances by |x|^2 + |p|^2 - 2 x p about the points, exact where they are small."""
    centre = points.mean(0)
    x, p = (points - centre).to(dtype), (knots - centre).to(dtype)
    x = torch.cat((x, x.square().sum(1, keepdim=True), torch.ones_like(x[:, :1])), 1)
    p = torch.cat((-2 * p, torch.ones_like(p[:, :1]), p.square().sum(1, keepdim=True)), 1)
    return (x @ p.T).clamp_min_(0).sqrt_() @ weights.to(dtype)


def _solve(knots: Tensor, values: Tensor, smoothness: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (N, 3) and affine part (4, 3) of the smoothing spline of knots (N, 3) about their centre.

    With [1, p] = Q R and A = K + S, the weights lie across Q, where A is positive definite (Wahba 1990). So is then
    M = (1 - Q Q') A (1 - Q Q') + c Q Q', with w = M^-1 (1 - Q Q') v: a Cholesky factor, half a general solution.
    """
    count = len(knots)
    plane = torch.linalg.eigvalsh(knots.T @ knots)  # three points are in one; the factors do not see it for rounding
    if bool(plane[0] <= 1e-10 * plane[2]):
        raise InputError(f"A spline needs at least 4 keypoints that are not in one plane, got {count}")
    system = torch.cdist(knots, knots, compute_mode="donot_use_mm_for_euclid_dist").neg_()
    system.diagonal().add_(smoothness)
    q, r = torch.linalg.qr(torch.cat((torch.ones_like(knots[:, :1]), knots), 1))
    along = system @ q
    block = q.T @ along
    block.diagonal().add_(block.diagonal().abs().amax())
    projected = torch.addmm(system, torch.cat((q, along), 1), torch.cat((q @ block - along, -q), 1).T)
    with single_thread():
        factor, failed = torch.linalg.cholesky_ex(projected)
        weights = torch.cholesky_solve(values - q @ (q.T @ values), factor)
    affine = torch.linalg.solve_triangular(r, q.T @ values - along.T @ weights, upper=True)
    left = values - system @ weights - affine[0] - knots @ affine[1:]
    if bool(failed) or not bool(left.abs().amax() < 1e-3):
        raise InputError("A spline without smoothness needs keypoints that do not coincide")
    return weights, affine
