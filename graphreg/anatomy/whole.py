"""Any scan, all of it: nothing is known, and nothing is left out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.anatomy.base import AnyUnits
from graphreg.core.protocols import RegionFinder
from graphreg.core.records import Volume
from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Everything(Settings):
    """Finder of a region that is the whole image."""

    def __call__(self, volume: Volume) -> Tensor:
        """A mask (D, H, W) that is set everywhere."""
        return torch.ones(volume.grid.shape, dtype=torch.bool, device=volume.data.device)


@dataclass(frozen=True, kw_only=True)
class Whole(AnyUnits):
    """Any two images in any units. Raises InputError where a number is out of range."""

    region: str = "image"
    find: RegionFinder = Everything()
