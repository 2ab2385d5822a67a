"""Stage 1: points of a regular lattice.  Volume, mask -> Keypoints

The lattice lies along the axes of the volume's grid, on voxels of it: its steps are whole voxels, the nearest to the
wanted distance along each axis and at least one, so that they differ where the voxels are not cubes. It is centred in
the box of the mask. ``matching.lattice_graph`` finds its edges.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.core.grid import box
from graphreg.core.records import Keypoints, Volume
from graphreg.core.settings import Settings, require
from graphreg.sampling.spread import require_enough, require_mask


@dataclass(frozen=True, kw_only=True)
class Lattice(Settings):
    """Sampler. Raises InputError where a number is out of range."""

    spacing_mm: float = 8.0  # distance of neighbours along an axis, rounded to whole voxels

    def check(self) -> None:
        require(self.spacing_mm > 0, "lattice.spacing_mm must be positive", self.spacing_mm)

    def __call__(self, volume: Volume, mask: Tensor) -> Keypoints:
        """Every lattice point in a mask (D, H, W) bool on the grid of the volume, in the order of the array.

        Raises:
            InputError: fewer than 50 of them.
            ValueError: the mask is not bool on that grid.
        """
        require_mask(mask, volume.grid)
        if not bool(mask.any()):
            require_enough(0)
        steps = [max(round(self.spacing_mm / s), 1) for s in reversed(volume.grid.spacing_mm)]
        first = [_centred(span, step) for span, step in zip(box(mask), steps, strict=True)]
        z, y, x = (slice(start, None, step) for start, step in zip(first, steps, strict=True))
        index = mask[z, y, x].nonzero().double().cpu() * torch.tensor(steps) + torch.tensor(first)
        require_enough(len(index))
        return Keypoints(volume.grid.to_mm(index).to(volume.data))


def _centred(span: slice, step: int) -> int:
    """First index of a lattice that leaves as much of a range of indices before it as behind it, or one less."""
    return int(span.start + (span.stop - 1 - span.start) % step // 2)
