"""Stage 2: the intensities as they are, between images that show the same tissue equally bright.

    f(x) = I(x) / contrast,

so that a mean squared difference of one is a difference by the contrast.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from graphreg.core.records import FeatureVolume, Volume
from graphreg.core.settings import Settings, require


@dataclass(frozen=True, kw_only=True)
class Intensities(Settings):
    """Features. Raises InputError where a number is out of range."""

    channels: ClassVar[int] = 1
    contrast: float = 100.0  # difference of intensities that counts as one

    def check(self) -> None:
        require(self.contrast > 0, "intensities.contrast must be positive", self.contrast)

    def __call__(self, volume: Volume, mask: Tensor) -> FeatureVolume:
        """Intensities (1, D, H, W) in units of the contrast, within the mask and outside."""
        return FeatureVolume(volume.grid, volume.data[None] / self.contrast)
