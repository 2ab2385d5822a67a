"""Stage 1: distinctive points of the fixed image.  Volume, mask -> Keypoints

Förstner distinctiveness 1 / tr(S^-1) of the smoothed structure tensor S (Förstner & Gülch 1987; Heinrich et al. 2015),
local maxima inside the mask, thinned by farthest points to a wanted count.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.core.filters import box_max, derivative, gaussian
from graphreg.core.grid import Grid, box
from graphreg.core.records import Keypoints, Volume
from graphreg.core.settings import Settings, require
from graphreg.sampling.spread import MINIMUM, farthest_points, require_enough, require_mask


@dataclass(frozen=True, kw_only=True)
class Foerstner(Settings):
    """How keypoints are found. Raises InputError where a number is out of range."""

    count: int = 2048  # keypoints wanted; fewer where the image has fewer local maxima
    sigma_mm: float = 2.0  # smoothing of the structure tensor
    separation_mm: float = 2.3  # no stronger point within this distance along an axis

    def check(self) -> None:
        require(self.count >= MINIMUM, f"sampler.count must be at least {MINIMUM}", self.count)
        need = "sampler.sigma_mm and separation_mm must be positive"
        require(self.sigma_mm > 0 and self.separation_mm > 0, need, f"{self.sigma_mm} and {self.separation_mm}")

    def __call__(self, volume: Volume, mask: Tensor) -> Keypoints:
        """Well spread distinctive points of a volume inside a mask (D, H, W) bool on its grid.

        Raises:
            ValueError: the mask is not bool on the grid of the volume.
            InputError: it holds fewer than 50 local maxima.
        """
        require_mask(mask, volume.grid)
        candidates, strength = _candidates(volume, mask, self)
        require_enough(len(candidates))
        points_mm = volume.grid.to_mm(candidates.double()).to(volume.data)
        chosen = farthest_points(points_mm, self.count, first=int(strength.argmax()))
        return Keypoints(points_mm[chosen])


def _candidates(volume: Volume, mask: Tensor, config: Foerstner) -> tuple[Tensor, Tensor]:
    """Indices (N, 3) and strength (N,) of the local maxima; only the surroundings of the mask are looked at."""
    if not bool(mask.any()):
        return mask.nonzero(), volume.data[mask]
    support = [math.ceil(3 * config.sigma_mm / s) + 3 for s in reversed(volume.grid.spacing_mm)]  # of both filters
    part = box(mask, support)
    near = Volume(volume.grid.part(part), volume.data[part])
    strength = distinctiveness(near, config.sigma_mm, mask[part])
    highest = local_maxima(strength, mask[part], near.grid, config.separation_mm)
    low = torch.tensor([span.start for span in part], device=mask.device)
    return highest.nonzero() + low, strength[highest]


def distinctiveness(volume: Volume, sigma_mm: float = 2.0, mask: Tensor | None = None) -> Tensor:
    """Förstner operator 1 / tr(S^-1) (D, H, W) with derivatives per mm; zero outside a mask (D, H, W) bool."""
    spacing = tuple(reversed(volume.grid.spacing_mm))
    sigma = [sigma_mm / s for s in spacing]
    data = volume.data
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
