"""Stage 1: distinctive points of the fixed image.  Volume, lung mask -> Keypoints

Förstner distinctiveness 1 / tr(S^-1) of the smoothed structure tensor S (Förstner & Gülch 1987; Heinrich et al. 2015),
local maxima inside the lung, thinned by farthest points to a wanted count.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.filters import box_max, derivative, gaussian
from graphreg.core.grid import Grid, box
from graphreg.core.records import Keypoints, Volume
from graphreg.core.settings import Settings

ANYWHERE = 20  # times as many voxels as keypoints are looked at where any will do
MINIMUM = 50  # keypoints below which no motion can be told from noise


@dataclass(frozen=True, kw_only=True)
class KeypointConfig(Settings):
    """How keypoints are found. Raises InputError where a number is out of range."""

    count: int = 2048  # keypoints wanted; fewer where the image has fewer local maxima
    sigma_mm: float = 2.0  # smoothing of the structure tensor
    separation_mm: float = 2.3  # no stronger point within this distance along an axis
    brightest_hu: float = 200.0  # intensities are cut here, so that bone attracts no points
    uniform: bool = False  # whether any voxel of the mask may be one, distinctive or not: for comparison

    def check(self) -> None:
        if self.count < MINIMUM:
            raise InputError(f"keypoints.count must be at least {MINIMUM}, got {self.count}")
        if not (self.sigma_mm > 0 and self.separation_mm > 0):
            need = "keypoints.sigma_mm and separation_mm must be positive"
            raise InputError(f"{need}, got {self.sigma_mm} and {self.separation_mm}")
        if not self.brightest_hu > -1000:
            raise InputError(f"keypoints.brightest_hu must lie above -1000 HU, got {self.brightest_hu}")


def detect(volume: Volume, mask: Tensor, config: KeypointConfig = KeypointConfig()) -> Keypoints:
    """Well spread distinctive points of a volume inside a mask (D, H, W) bool on its grid.

    Raises:
        InputError: the mask holds fewer than 50 local maxima.
        ValueError: it is not bool on the grid of the volume.
    """
    if mask.dtype != torch.bool or tuple(mask.shape) != volume.grid.shape:
        raise ValueError(f"A keypoint mask must be bool {volume.grid.shape}, got {mask.dtype} {tuple(mask.shape)}")
    candidates, strength = _candidates(volume, mask, config)
    if len(candidates) < MINIMUM:
        raise InputError(f"At least {MINIMUM} keypoints are needed inside the lung mask, found {len(candidates)}")
    points_mm = volume.grid.to_mm(candidates.double()).to(volume.data)
    chosen = farthest_points(points_mm, config.count, first=int(strength.argmax()))
    return Keypoints(points_mm[chosen])


def _candidates(volume: Volume, mask: Tensor, config: KeypointConfig) -> tuple[Tensor, Tensor]:
    """Indices (N, 3) and strength (N,) of the local maxima; only the surroundings of the mask are looked at."""
    if not bool(mask.any()):
        return mask.nonzero(), volume.data[mask]
    support = [math.ceil(3 * config.sigma_mm / s) + 3 for s in reversed(volume.grid.spacing_mm)]  # of both filters
    part = box(mask, support)
    near = Volume(volume.grid.part(part), volume.data[part])
    if config.uniform:
        index = mask.nonzero()
        index = index[:: max(len(index) // (ANYWHERE * config.count), 1)]
        return index, torch.zeros(len(index), device=index.device)
    strength = distinctiveness(near, config, mask[part])
    highest = local_maxima(strength, mask[part], near.grid, config.separation_mm)
    low = torch.tensor([span.start for span in part], device=mask.device)
    return highest.nonzero() + low, strength[highest]


def distinctiveness(volume: Volume, config: KeypointConfig = KeypointConfig(), mask: Tensor | None = None) -> Tensor:
    """Förstner operator 1 / tr(S^-1) (D, H, W) with derivatives per mm; zero outside a mask (D, H, W) bool."""
    spacing = tuple(reversed(volume.grid.spacing_mm))
    sigma = [config.sigma_mm / s for s in spacing]
    data = volume.data.clamp(-1000.0, config.brightest_hu)
    gz, gy, gx = (derivative(data, axis, spacing[axis]) for axis in range(3))
    tensor = [gaussian(g * h, sigma) for g, h in ((gx, gx), (gx, gy), (gx, gz), (gy, gy), (gy, gz), (gz, gz))]
    wanted = torch.ones_like(data, dtype=torch.bool) if mask is None else mask
    out = torch.zeros_like(data)
    for slab in volume.grid.slabs():
        inside = wanted[slab].flatten().nonzero()[:, 0]
        out[slab].view(-1)[inside] = _inverse_trace(*(entry[slab].flatten()[inside].double() for entry in tensor)).to(
            out
        )
    return out


def _inverse_trace(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor) -> Tensor:
    """1 / tr(S^-1) of S = [a b c; b d e; c e f]: the diagonal of the adjugate sums to det(S) tr(S^-1)."""
    minors = (d * f - e * e) + (a * f - c * c) + (a * d - b * b)
    determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
    rounding = torch.finfo(torch.float32).eps * (a + d + f) ** 2  # all that is left of the minors where S has rank one
    return determinant.clamp_min(0) / torch.maximum(minors, rounding).clamp_min(torch.finfo(a.dtype).tiny)


def local_maxima(strength: Tensor, mask: Tensor, grid: Grid, separation_mm: float) -> Tensor:
    """Voxels (D, H, W) bool of the mask that are the strongest of a box of half-width ``separation_mm``."""
    radius = [max(round(separation_mm / spacing), 1) for spacing in reversed(grid.spacing_mm)]
    inside = torch.where(mask, strength, 0.0)
    return mask & (inside >= box_max(inside, radius)) & (inside > 0)


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
