"""Stage 2, for images that differ in brightness from place to place: intensities by the mean and spread around them.

    f(x) = (I(x) - mean(x)) / sqrt(variance(x) + noise^2)

within a Gaussian window that sees the mask alone. Air that comes in makes tissue darker all over; vessels remain
brighter than what is around them.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from graphreg.core.filters import gaussian
from graphreg.core.records import FeatureVolume, Volume
from graphreg.core.settings import Settings, require


@dataclass(frozen=True, kw_only=True)
class NormalisedIntensities(Settings):
    """The window. Raises InputError where a number is out of range."""

    channels: ClassVar[int] = 1
    window_mm: float = 3.0  # standard deviation
    noise: float = 10.0  # spread of intensities that counts for little

    def check(self) -> None:
        fine = self.window_mm > 0 and self.noise > 0
        require(fine, "normalisation needs numbers above 0", f"{self.window_mm} mm and {self.noise}")

    def __call__(self, volume: Volume, mask: Tensor) -> FeatureVolume:
        """Normalised intensities (1, D, H, W) of a volume within a mask (D, H, W) bool; 0 outside."""
        inside = mask.to(volume.data)
        sigma = [self.window_mm / s for s in reversed(volume.grid.spacing_mm)]
        share = gaussian(inside, sigma).clamp_min_(1e-6)
        values = volume.data * inside
        mean = gaussian(values, sigma) / share
        variance = gaussian(values * volume.data, sigma) / share - mean.square()
        spread = variance.clamp_min_(0).add_(self.noise**2).sqrt_()
        return FeatureVolume(volume.grid, ((volume.data - mean) / spread * inside)[None])
