"""Windows of intensities: fixed ones where numbers mean the same on every scanner, percentiles where they do not."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.core.intensities import IntensityWindow
from graphreg.core.records import Volume
from graphreg.core.settings import Settings, require

MOST_VOXELS = 1_000_000  # that percentiles are taken of


@dataclass(frozen=True, kw_only=True)
class FixedWindow(Settings):
    """The same intensities of every image. Raises InputError where they do not rise."""

    low: float
    high: float

    def check(self) -> None:
        require(self.low < self.high, "a window of intensities must rise", f"{self.low} to {self.high}")

    def __call__(self, volume: Volume, mask: Tensor | None = None) -> IntensityWindow:
        """That window, on the scale that the image has."""
        return IntensityWindow(self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class PercentileWindow(Settings):
    """Percentiles of the intensities in the region, brought to one scale. Raises InputError where a number is wrong."""

    low: float = 0.5
    high: float = 99.5
    span: float = 1000.0  # of the window afterwards

    def check(self) -> None:
        rising = 0 <= self.low < self.high <= 100
        require(rising, "percentiles must rise within 0 to 100", f"{self.low} and {self.high}")
        require(self.span > 0, "the span of a window of percentiles must be positive", self.span)

    def __call__(self, volume: Volume, mask: Tensor | None = None) -> IntensityWindow:
        """The window of an image, by a mask (D, H, W) bool of it or by all of it."""
        values = volume.data.flatten() if mask is None else volume.within(mask)
        values = values[:: -(-len(values) // MOST_VOXELS)].double()
        low, high = torch.quantile(values, values.new_tensor([self.low / 100, self.high / 100])).tolist()
        return IntensityWindow(low, max(high, low + 1e-6), self.span)
