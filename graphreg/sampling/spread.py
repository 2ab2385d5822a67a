"""Stage 1: what samplers share. How many points are enough, and an even choice of many.  points -> indices

Farthest points (Gonzalez 1985): each is the one that lies farthest from all that were chosen before it.
"""

import math

import numpy as np
import torch
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid

MINIMUM = 50  # keypoints below which no motion can be told from noise


def require_enough(count: int) -> None:
    """Raise InputError where a mask holds fewer keypoints than a motion can be told from."""
    if count < MINIMUM:
        raise InputError(f"At least {MINIMUM} keypoints are needed inside the mask, found {count}")


def require_mask(mask: Tensor, grid: Grid) -> None:
    """Raise ValueError unless a mask is bool on a grid."""
    if mask.dtype != torch.bool or tuple(mask.shape) != grid.shape:
        raise ValueError(f"A keypoint mask must be bool {grid.shape}, got {mask.dtype} {tuple(mask.shape)}")


def one_of_each_share(total: int, count: int) -> Tensor:
    """Indices (count,) below a total, ascending, one by chance of each of equal shares, always the same ones.

    All of them where the count exceeds the total.
    """
    count = min(count, total)
    borders = torch.arange(count + 1) * total // count
    place = torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return borders[:-1] + (place * borders.diff()).long()


def farthest_points(points_mm: Tensor, count: int, first: int = 0) -> Tensor:
    """Indices (count,) of points (N, 3), each the farthest from all chosen before it; all N where count exceeds it.

    The points are kept in the order of z: none is nearer to a new point than to an old one if z alone differs by more
    than the largest distance so far, so that ever thinner slabs are looked at. On the CPU whatever the device, as it is
    one small step after another.
    """
    if count >= len(points_mm):
        return torch.arange(len(points_mm), device=points_mm.device)
    points = points_mm.detach().cpu().numpy()
    order = np.argsort(points[:, 2], kind="stable")
    columns = np.ascontiguousarray(points[order].T)
    distance = np.full(len(points), np.inf, dtype=points.dtype)
    chosen = np.empty(count, dtype=np.int64)
    chosen[0] = np.flatnonzero(order == first)[0]
    for k in range(1, count):
        new = chosen[k - 1]
        reach = math.sqrt(distance[new])
        z = columns[2, new]
        start, stop = np.searchsorted(columns[2], (z - reach, z + reach))
        step = columns[:, start:stop] - columns[:, new, None]
        step *= step
        near = distance[start:stop]
        np.minimum(near, step.sum(0), out=near)
        chosen[k] = distance.argmax()
    return torch.from_numpy(order[chosen]).to(points_mm.device)
