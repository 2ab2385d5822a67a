"""Dense fields as maps: composition, Jacobian determinant, folding.

Where T(x) = x + u(x), det(dT/dx) is the volume of a moving piece of tissue over its fixed volume: below one where the
tissue shrinks from fixed to moving, and not positive where the map folds.
"""

import torch
from torch import Tensor

from graphreg.core.grid import Grid
from graphreg.core.lattice import linear, same_axes, transfer
from graphreg.core.records import DenseField, Motion

FLOOR = 1e-9  # determinants below count as this in a logarithm; folding is reported by itself


def jacobian_determinant(field: DenseField) -> Tensor:
    """det(I + du/dx) (D, H, W) at the voxels of the field, in physical space.

    Central differences, one-sided at the border, on grids of any spacing and direction.
    """
    out = field.displacement_mm.new_empty(field.grid.shape)
    for slab in field.grid.slabs(1 << 19):
        below, above = max(slab.start - 1, 0), min(slab.stop + 1, field.grid.shape[0])
        part = _in_voxels(field.displacement_mm[:, below:above], field.grid)
        inner = slice(slab.start - below, slab.stop - below)
        (a, b, c), (d, e, f), (g, h, i) = ([_difference(one, axis)[inner] for axis in range(3)] for one in part)
        for own in (a, e, i):
            own += 1
        out[slab] = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return out


def _in_voxels(vectors_mm: Tensor, grid: Grid) -> Tensor:
    """Vectors (3, D, H, W) along the axes of the index: the determinant of a map is the same in any coordinates."""
    unit, out = torch.eye(3, dtype=torch.float64), torch.zeros_like(vectors_mm)
    to_index = grid.to_index(unit) - grid.to_index(unit * 0)  # (3, 3): x, y, z mm; index axis
    for axis, weights in zip(out, to_index.T.tolist(), strict=True):
        for weight, component in zip(weights, vectors_mm, strict=True):
            if weight:  # mostly one for each axis; a product of matrices would round as its threads share it
                axis.add_(component, alpha=weight)
    return out


def compose(outer: Motion, inner: DenseField) -> DenseField:
    """The field x -> outer(inner(x)), on the grid of inner."""
    out = torch.empty_like(inner.displacement_mm)
    for slab in inner.grid.slabs():
        points_mm = inner.grid.points_mm(out, slab)
        moved_mm = outer(points_mm + inner.displacement_mm[:, slab].movedim(0, -1))
        out[:, slab] = (moved_mm - points_mm).movedim(-1, 0)
    return DenseField(inner.grid, out)


def on_grid(field: DenseField, grid: Grid) -> DenseField:
    """The same motion at the voxels of another grid; beyond the field its border value goes on."""
    if same_axes(field.grid, grid):
        return DenseField(grid, transfer(field.displacement_mm, field.grid, grid, (linear,) * 3))
    return compose(field, DenseField(grid, field.displacement_mm.new_zeros(3, *grid.shape)))


def folding_fraction(jacobian: Tensor, mask: Tensor | None = None) -> float:
    """Share of voxels with a determinant that is not positive, of all or of those in a mask (D, H, W)."""
    return (_within(jacobian, mask) <= 0).double().mean().item()


def log_jacobian_sd(jacobian: Tensor, mask: Tensor | None = None) -> float:
    """Standard deviation of the natural logarithm of the determinant (SDlogJ), over all voxels or those in a mask."""
    return _within(jacobian, mask).double().clamp(min=FLOOR).log().std(correction=0).item()


def _within(jacobian: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return jacobian
    if mask.shape != jacobian.shape or not bool(mask.any()):
        raise ValueError(f"The mask must hold voxels of an array {tuple(jacobian.shape)}, got {tuple(mask.shape)}")
    return jacobian[mask]


def _difference(data: Tensor, axis: int) -> Tensor:
    """Change per voxel along an axis: half the way between both neighbours, to the one neighbour at the border."""
    size = data.shape[axis]
    if size == 1:
        return torch.zeros_like(data)
    return torch.gradient(data, dim=axis)[0]
