"""Stage 1: distinctive points of the fixed image.  Volume, lung mask -> Keypoints

Förstner distinctiveness 1 / tr(S^-1) of the smoothed structure tensor S (Förstner & Gülch 1987; Heinrich et al. 2015),
local maxima inside the lung, thinned by farthest points to a wanted count.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from graphreg.filters import derivative, gaussian
from graphreg.grid import Grid, mask_points_mm
from graphreg.records import Keypoints, Volume

MINIMUM = 50  # keypoints below which no motion can be told from noise


@dataclass(frozen=True, kw_only=True)
class KeypointConfig:
    """How keypoints are found. Raises ValueError where a number is out of range."""

    count: int = 2048  # keypoints wanted; fewer where the image has fewer local maxima
    sigma_mm: float = 2.0  # smoothing of the structure tensor
    separation_mm: float = 2.3  # no stronger point within this distance along an axis
    brightest_hu: float = 200.0  # intensities are cut here, so that bone attracts no points

    def __post_init__(self) -> None:
        if self.count < MINIMUM:
            raise ValueError(f"keypoints.count must be at least {MINIMUM}, got {self.count}")
        if not (self.sigma_mm > 0 and self.separation_mm > 0):
            need = "keypoints.sigma_mm and separation_mm must be positive"
            raise ValueError(f"{need}, got {self.sigma_mm} and {self.separation_mm}")
        if not self.brightest_hu > -1000:
            raise ValueError(f"keypoints.brightest_hu must lie above -1000 HU, got {self.brightest_hu}")


def detect(volume: Volume, mask: Tensor, config: KeypointConfig = KeypointConfig()) -> Keypoints:
    """Well spread distinctive points of a volume inside a mask (D, H, W) bool on its grid.

    Raises:
        ValueError: the mask is not bool on the grid of the volume, or holds fewer than 50 local maxima.
    """
    if mask.dtype != torch.bool or tuple(mask.shape) != volume.grid.shape:
        raise ValueError(f"A keypoint mask must be bool {volume.grid.shape}, got {mask.dtype} {tuple(mask.shape)}")
    strength = distinctiveness(volume, config)
    candidates = local_maxima(strength, mask, volume.grid, config.separation_mm)
    found = int(candidates.sum())
    if found < MINIMUM:
        raise ValueError(f"At least {MINIMUM} keypoints are needed inside the lung mask, found {found}")
    points_mm = mask_points_mm(candidates, volume.grid).to(volume.data)
    chosen = farthest_points(points_mm, config.count, first=int(strength[candidates].argmax()))
    return Keypoints(points_mm[chosen])


def distinctiveness(volume: Volume, config: KeypointConfig = KeypointConfig()) -> Tensor:
    """Förstner operator 1 / tr(S^-1) (D, H, W) with derivatives per mm."""
    spacing = tuple(reversed(volume.grid.spacing_mm))
    sigma = [config.sigma_mm / s for s in spacing]
    data = volume.data.clamp(-1000.0, config.brightest_hu)
    gz, gy, gx = (derivative(data, axis, spacing[axis]) for axis in range(3))
    tensor = [gaussian(g * h, sigma) for g, h in ((gx, gx), (gx, gy), (gx, gz), (gy, gy), (gy, gz), (gz, gz))]
    out = torch.empty_like(data)
    for slab in volume.grid.slabs():
        out[slab] = _inverse_trace(*(entry[slab].double() for entry in tensor))
    return out


def _inverse_trace(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor) -> Tensor:
    """1 / tr(S^-1) of S = [a b c; b d e; c e f]: the diagonal of the adjugate sums to det(S) tr(S^-1)."""
    minors = (d * f - e * e) + (a * f - c * c) + (a * d - b * b)
    determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
    rounding = torch.finfo(torch.float32).eps * (a + d + f) ** 2  # all that is left of the minors where S has rank one
    return determinant.clamp_min(0) / torch.maximum(minors, rounding).clamp_min(torch.finfo(a.dtype).tiny)


def local_maxima(strength: Tensor, mask: Tensor, grid: Grid, separation_mm: float) -> Tensor:
    """Voxels (D, H, W) bool of the mask that are the strongest of a box of half-width ``separation_mm``."""
    highest = torch.where(mask, strength, 0.0)[None]
    for axis, spacing in enumerate(reversed(grid.spacing_mm)):
        kernel, padding = [1, 1, 1], [0, 0, 0]
        padding[axis] = max(round(separation_mm / spacing), 1)
        kernel[axis] = 2 * padding[axis] + 1
        highest = F.max_pool3d(highest, kernel, stride=1, padding=padding)
    return mask & (strength >= highest[0]) & (strength > 0)


def farthest_points(points_mm: Tensor, count: int, first: int = 0) -> Tensor:
    """Indices (count,) of points (N, 3), each the farthest from all chosen before it; all N where count exceeds it."""
    if count >= len(points_mm):
        return torch.arange(len(points_mm), device=points_mm.device)
    chosen = torch.empty(count, dtype=torch.int64, device=points_mm.device)
    chosen[0] = first
    distance = points_mm.new_full((len(points_mm),), torch.inf)
    columns = points_mm.T.contiguous()
    for k in range(1, count):
        step = columns - columns[:, chosen[k - 1], None]
        torch.minimum(distance, (step * step).sum(0), out=distance)
        chosen[k] = distance.argmax()
    return chosen
