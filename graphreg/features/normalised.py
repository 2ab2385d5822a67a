"""Between images that differ in brightness from place to place: intensities by the mean and spread around them.

    f(x) = (I(x) - mean(x)) / sqrt(variance(x) + noise^2)

within a Gaussian window that sees the lungs alone. Air that leaves a lung makes it denser all over; vessels remain
brighter than what is around them.
"""

from dataclasses import dataclass

from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.filters import gaussian
from graphreg.core.records import FeatureVolume, Volume
from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class NormalisationConfig(Settings):
    """The window. Raises InputError where a number is out of range."""

    window_mm: float = 3.0  # standard deviation
    noise_hu: float = 10.0  # spread that counts for little

    def check(self) -> None:
        if not (self.window_mm > 0 and self.noise_hu > 0):
            raise InputError(f"normalisation needs numbers above 0, got {self.window_mm} mm and {self.noise_hu} HU")


def normalise(volume: Volume, mask: Tensor, config: NormalisationConfig = NormalisationConfig()) -> FeatureVolume:
    """Normalised intensities (1, D, H, W) of a volume within a mask (D, H, W) bool; 0 outside."""
    inside = mask.to(volume.data)
    sigma = [config.window_mm / s for s in reversed(volume.grid.spacing_mm)]
    share = gaussian(inside, sigma).clamp_min_(1e-6)
    values = volume.data * inside
    mean = gaussian(values, sigma) / share
    variance = gaussian(values * volume.data, sigma) / share - mean.square()
    spread = variance.clamp_min_(0).add_(config.noise_hu**2).sqrt_()
    return FeatureVolume(volume.grid, ((volume.data - mean) / spread * inside)[None])
