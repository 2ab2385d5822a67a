"""Stage 2: what a voxel's neighbourhood looks like, whatever its brightness.  Volume -> FeatureVolume

MIND-SSC (Heinrich et al., MICCAI 2013): patch distances between the twelve pairs of the six neighbours that lie at a
right angle to each other, d(n1, n2), turned into exp(-(d - min d) / v), where v is the mean of d - min d, kept within
1e-3 to 1e3 times its average over the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.filters import box_sum
from graphreg.core.records import FeatureVolume, Volume
from graphreg.core.settings import Settings
from graphreg.runtime.chunks import rows

Offset = tuple[int, int, int]

NEIGHBOURS: tuple[Offset, ...] = ((0, 0, 1), (0, 0, -1), (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0))
PAIRS = tuple((a, b) for a, b in combinations(NEIGHBOURS, 2) if sum(i * j for i, j in zip(a, b, strict=True)) == 0)


def _read_from() -> list[tuple[Offset, Offset]]:
    """Step v and start s of each pair (a, b): its distance at x is that of the patches at x + s and x + s + v.

    d(a, b) at x is d(0, b - a) at x + a, and d(0, -v) at x is d(0, v) at x - v: six steps serve twelve pairs.
    """
    found: list[tuple[Offset, Offset]] = []
    for a, b in PAIRS:
        step = (b[0] - a[0], b[1] - a[1], b[2] - a[2])
        opposite = (-step[0], -step[1], -step[2])
        found.append((opposite, b) if any(opposite == other for other, _ in found) else (step, a))
    return found


STEPS_AND_STARTS = _read_from()


@dataclass(frozen=True, kw_only=True)
class MindSSC(Settings):
    """Shape of the descriptor. Raises InputError where a number is out of range."""

    channels: ClassVar[int] = len(PAIRS)
    dilation_mm: float = 1.5  # distance of the six neighbours, rounded to voxels
    radius_mm: float = 1.5  # half-width of the compared patches, rounded to voxels

    def check(self) -> None:
        if self.dilation_mm <= 0 or self.radius_mm < 0:
            raise InputError(f"descriptor lengths must be positive in mm, got {self.dilation_mm} and {self.radius_mm}")

    def __call__(self, volume: Volume, mask: Tensor | None = None) -> FeatureVolume:
        """MIND-SSC (12, D, H, W) of a volume on an isotropic grid, in the mask and outside.

        Raises:
            ValueError: the grid is not isotropic.
        """
        spacing = volume.grid.spacing_mm
        if not volume.grid.is_isotropic:
            raise ValueError(f"Descriptors need an isotropic grid, got a spacing of {spacing} mm (x, y, z)")
        dilation = max(round(self.dilation_mm / spacing[0]), 1)
        return FeatureVolume(volume.grid, mind_ssc(volume.data, dilation, round(self.radius_mm / spacing[0])))


def mind_ssc(data: Tensor, dilation: int, radius: int) -> Tensor:
    """MIND-SSC (12, D, H, W) of data (D, H, W), lengths in voxels; the border is replicated."""
    margin = 2 * dilation + radius
    padded = F.pad(data[None, None], (margin,) * 6, mode="replicate")[0, 0]
    out, variance = data.new_empty(len(PAIRS), *data.shape), torch.empty_like(data)
    step = max(rows(data[0].numel(), data.device), 2 * margin)  # thin slabs would mostly compute their borders
    slabs = [slice(z, min(z + step, len(data))) for z in range(0, len(data), step)]
    for slab in slabs:
        _distances(padded[slab.start : slab.stop + 2 * margin], dilation, radius, out[:, slab])
        torch.mean(out[:, slab], 0, out=variance[slab])
    average = variance.mean(dtype=torch.float64).to(data).clamp_min(1e-30)
    for slab in slabs:
        scale = variance[slab].clamp_(1e-3 * average, 1e3 * average).reciprocal_().neg_()
        for channel in out[:, slab]:
            channel.mul_(scale).exp_()
    return out


def _distances(padded: Tensor, dilation: int, radius: int, out: Tensor) -> None:
    """Patch distances of the twelve pairs, less the smallest of each voxel, to out (12, d, H, W).

    ``padded`` reaches two dilations and a radius beyond it.
    """
    maps = {step: _patch_distance(padded, step, dilation, radius, out.shape[1:]) for step in dict(STEPS_AND_STARTS)}
    seen = []
    for step, start in STEPS_AND_STARTS:
        low, distance = maps[step]
        seen.append(_part(distance, [(s - m) * dilation for s, m in zip(start, low, strict=True)], out.shape[1:]))
    lowest = torch.minimum(seen[0], seen[1])
    for distance in seen[2:]:
        torch.minimum(lowest, distance, out=lowest)
    for distance, channel in zip(seen, out, strict=True):
        torch.sub(distance, lowest, out=channel)


def _patch_distance(
    padded: Tensor, step: Offset, dilation: int, radius: int, shape: Sequence[int]
) -> tuple[list[int], Tensor]:
    """Summed squared difference of the patches at x and x + step, from the first start that is read to the last.

    Also that first start, in dilations.
    """
    starts = list(zip(*(start for other, start in STEPS_AND_STARTS if other == step), strict=True))  # by axis
    low = [min(axis) for axis in starts]
    size = [n + (max(axis) - min(axis)) * dilation + 2 * radius for n, axis in zip(shape, starts, strict=True)]
    here = _part(padded, [(2 + m) * dilation for m in low], size)
    there = _part(padded, [(2 + m + s) * dilation for m, s in zip(low, step, strict=True)], size)
    difference = here - there
    return low, box_sum(difference.mul_(difference), radius)


def _part(data: Tensor, first: Sequence[int], shape: Sequence[int]) -> Tensor:
    """The box of an array (D, H, W) of that shape, from an index on."""
    for axis in range(3):
        data = data.narrow(axis, first[axis], shape[axis])
    return data
