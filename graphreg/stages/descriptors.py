"""Stage 2: what a voxel's neighbourhood looks like, whatever its brightness.  Volume -> FeatureVolume

MIND-SSC (Heinrich et al., MICCAI 2013): patch distances between the twelve pairs of the six neighbours that lie at a
right angle to each other, d(n1, n2), turned into exp(-d / v) with v their mean.
"""

from dataclasses import dataclass
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphreg.filters import box_mean
from graphreg.records import FeatureVolume, Volume

Offset = tuple[int, int, int]

NEIGHBOURS: tuple[Offset, ...] = ((0, 0, 1), (0, 0, -1), (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0))
PAIRS = tuple((a, b) for a, b in combinations(NEIGHBOURS, 2) if sum(i * j for i, j in zip(a, b, strict=True)) == 0)


@dataclass(frozen=True, kw_only=True)
class DescriptorConfig:
    """Shape of the descriptor. Raises ValueError where a number is out of range."""

    dilation_mm: float = 1.5  # distance of the six neighbours, rounded to voxels
    radius_mm: float = 1.5  # half-width of the compared patches, rounded to voxels

    def __post_init__(self) -> None:
        if self.dilation_mm <= 0 or self.radius_mm < 0:
            raise ValueError(f"descriptor lengths must be positive in mm, got {self.dilation_mm} and {self.radius_mm}")


def describe(volume: Volume, config: DescriptorConfig = DescriptorConfig()) -> FeatureVolume:
    """MIND-SSC (12, D, H, W) of a volume on an isotropic grid.

    Raises:
        ValueError: the grid is not isotropic.
    """
    spacing = volume.grid.spacing_mm
    if not volume.grid.is_isotropic:
        raise ValueError(f"Descriptors need an isotropic grid, got a spacing of {spacing} mm (x, y, z)")
    dilation = max(round(config.dilation_mm / spacing[0]), 1)
    return FeatureVolume(volume.grid, mind_ssc(volume.data, dilation, round(config.radius_mm / spacing[0])))


def mind_ssc(data: Tensor, dilation: int, radius: int) -> Tensor:
    """MIND-SSC (12, D, H, W) of data (D, H, W), lengths in voxels; the border is replicated."""
    margin = 2 * dilation
    padded = F.pad(data[None, None], (margin + radius,) * 6, mode="replicate")[0, 0]
    distances = data.new_empty(len(PAIRS), *data.shape)
    shared: dict[Offset, Tensor] = {}
    for channel, (a, b) in enumerate(PAIRS):
        # d(a, b) at x is d(0, b - a) at x + a, and d(0, -v) at x is d(0, v) at x - v: six maps serve twelve pairs.
        step = (b[0] - a[0], b[1] - a[1], b[2] - a[2])
        if _opposite(step) in shared:
            step, start = _opposite(step), b
        else:
            start = a
            shared[step] = _patch_distance(padded, step, dilation, radius)
        distances[channel] = _shifted(shared[step], start, dilation, margin - dilation, data.shape)
    return _normalise(distances)


def _opposite(step: Offset) -> Offset:
    return (-step[0], -step[1], -step[2])


def _patch_distance(padded: Tensor, step: Offset, dilation: int, radius: int) -> Tensor:
    """Mean squared difference of the patches at x and x + step, for x up to one dilation beyond the image."""
    reach = dilation + radius
    size = [n - 2 * reach for n in padded.shape]
    here = _shifted(padded, (0, 0, 0), dilation, reach - radius, [n + 2 * radius for n in size])
    there = _shifted(padded, step, dilation, reach - radius, [n + 2 * radius for n in size])
    squared = (here - there).square_()
    return box_mean(squared, radius)[radius : radius + size[0], radius : radius + size[1], radius : radius + size[2]]


def _shifted(data: Tensor, offset: Offset, dilation: int, margin: int, shape: torch.Size | list[int]) -> Tensor:
    """Part of an array that starts at the margin plus an offset in dilations."""
    for axis in range(3):
        data = data.narrow(axis, margin + offset[axis] * dilation, shape[axis])
    return data


def _normalise(distances: Tensor) -> Tensor:
    """exp(-(d - min d) / v) in place, v = mean (d - min d) within 1e-3 to 1e3 of its average."""
    distances -= distances.amin(0)
    variance = distances.mean(0)
    average = float(variance.mean().clamp_min(torch.finfo(distances.dtype).tiny))
    variance.clamp_(1e-3 * average, 1e3 * average)
    return distances.div_(variance).neg_().exp_()
