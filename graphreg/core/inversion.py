"""The way back of a map, and two maps made each other's inverse.

T^-1(y) is the x with T(x) = y, the fixed point of x -> x + s (y - T(x)): found wherever T does not fold and stretches
tissue to less than 2 / s times its length.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphreg.core.grid import Grid, mask_points_mm
from graphreg.core.records import DenseField, Motion

DAMPING = 0.6  # s
STEPS = 60
EXACT_MM = 0.005  # points that are so near are left alone


@dataclass(frozen=True, eq=False)
class Inversion:
    """An inverse, and how far from one it is."""

    field: DenseField  # moving -> fixed
    error_mm: Tensor  # (D, H, W), |T(T^-1(y)) - y| at its voxels


def invert(field: DenseField, grid: Grid) -> Inversion:
    """The inverse of a field at the voxels of a grid in the moving space. Where none is found, the error says so.

    Beyond its border a field goes on as there, and so does its inverse; where it folds, one of several is found.
    """
    data = field.displacement_mm
    back, error = data.new_empty(3, *grid.shape), data.new_empty(grid.shape)
    for slab in grid.slabs():
        goal_mm = grid.points_mm(data, slab)
        flat_mm = goal_mm.reshape(-1, 3)
        found_mm = _search(field, flat_mm)
        error[slab] = (field(found_mm) - flat_mm).norm(dim=1).reshape(goal_mm.shape[:3])
        back[:, slab] = (found_mm - flat_mm).T.unflatten(1, goal_mm.shape[:3])
    return Inversion(DenseField(grid, back), error)


def _search(field: DenseField, goal_mm: Tensor) -> Tensor:
    """Points (N, 3) with field(x) = goal, those that are not there yet step by step."""
    where = 2 * goal_mm - field(goal_mm)
    left = torch.arange(len(goal_mm), device=goal_mm.device)
    for _ in range(STEPS):
        off = goal_mm[left] - field(where[left])
        far = off.norm(dim=1) > EXACT_MM
        left = left[far]
        if not len(left):
            break
        where[left] += DAMPING * off[far]
    return where


def pull_back(motion: Motion, goal_mm: Tensor, start_mm: Tensor, steps: int) -> Tensor:
    """Points x (..., 3) with motion(x) = goal, after so many steps from a start."""
    where = start_mm
    for _ in range(steps):
        where = where + DAMPING * (goal_mm - motion(where))
    return where


def inconsistency_mm(forward: Motion, backward: Motion, mask: Tensor, grid: Grid) -> Tensor:
    """|B(F(x)) - x| (N,) in mm at the voxels x of a mask (D, H, W) on a grid: the inverse-consistency error."""
    points_mm = mask_points_mm(mask, grid).float()
    return (backward(forward(points_mm)) - points_mm).norm(dim=1)


def inverse_consistent(forward: DenseField, backward: DenseField) -> DenseField:
    """The mean of a map and of the inverse of the one found the other way, fixed -> moving, on the grid of the first.

    Where the second has no inverse, as beyond its image, the first stands alone.
    """
    other = invert(backward, forward.grid)
    known = (other.error_mm <= 2 * EXACT_MM) & _inside(backward.grid, other.field)
    share = 0.5 * known.to(forward.displacement_mm)
    return replace(forward, displacement_mm=torch.lerp(forward.displacement_mm, other.field.displacement_mm, share))


def _inside(grid: Grid, field: DenseField) -> Tensor:
    """Whether each voxel (D, H, W) of a field is taken to a place on a grid."""
    out = torch.empty(field.grid.shape, dtype=torch.bool, device=field.displacement_mm.device)
    for slab in field.grid.slabs():
        out[slab] = grid.contains(
            field.grid.points_mm(field.displacement_mm, slab) + field.displacement_mm[:, slab].movedim(0, -1)
        )
    return out
