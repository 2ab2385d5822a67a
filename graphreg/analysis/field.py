"""Dense fields as maps: composition, Jacobian determinant, folding.

Where T(x) = x + u(x), det(dT/dx) is the volume of a moving piece of tissue over its fixed volume: below one where the
lung empties from fixed to moving, and not positive where the map folds.
"""

import torch
from torch import Tensor

from graphreg.records import DenseField, Motion

FLOOR = 1e-9  # determinants below count as this in a logarithm; folding is reported by itself


def jacobian_determinant(field: DenseField) -> Tensor:
    """det(I + du/dx) (D, H, W) at the voxels of the field, in physical space.

    Central differences, one-sided at the border, on grids of any spacing and direction.
    """
    data = field.displacement_mm
    unit = torch.eye(3, dtype=torch.float64)
    to_index = (field.grid.to_index(unit) - field.grid.to_index(unit * 0)).to(data)  # (3, 3): x, y, z mm; index axis
    out = data.new_empty(field.grid.shape)
    for slab in field.grid.slabs(1 << 19):
        below, above = max(slab.start - 1, 0), min(slab.stop + 1, field.grid.shape[0])
        part = data[:, below:above]
        steps = torch.stack([_difference(part, axis) for axis in (1, 2, 3)])  # (3, 3, d, H, W): index axis, component
        steps = steps[:, :, slab.start - below : slab.stop - below]
        jacobian = torch.einsum("ia...,bi->ab...", steps, to_index)
        jacobian += unit.to(data)[..., None, None, None]
        rows = jacobian.unbind()
        out[slab] = (rows[0] * torch.linalg.cross(rows[1], rows[2], dim=0)).sum(0)
    return out


def compose(outer: Motion, inner: DenseField) -> DenseField:
    """The field x -> outer(inner(x)), on the grid of inner."""
    out = torch.empty_like(inner.displacement_mm)
    for slab in inner.grid.slabs():
        points_mm = inner.grid.points_mm(out, slab)
        moved_mm = outer(points_mm + inner.displacement_mm[:, slab].movedim(0, -1))
        out[:, slab] = (moved_mm - points_mm).movedim(-1, 0)
    return DenseField(inner.grid, out)


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
