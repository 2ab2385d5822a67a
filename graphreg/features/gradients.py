"""Stage 2: which way the intensities rise, however steeply.  Volume -> FeatureVolume

The normalised gradient field (Haber & Modersitzki 2006), at edges of unit length, in flat places near zero:

    n(x) = g(x) / sqrt(|g(x)|^2 + noise^2),   g = grad (G_sigma * I)

with its components along x, y and z of the patient, whatever the axes of the grid.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphreg.core.filters import AXES, derivative, gaussian
from graphreg.core.records import FeatureVolume, Volume
from graphreg.core.settings import Settings, require


@dataclass(frozen=True, kw_only=True)
class Gradients(Settings):
    """Features. Raises InputError where a number is out of range."""

    channels: ClassVar[int] = 3
    sigma_mm: float = 1.0  # smoothing beforehand; 0 leaves the image as it is
    noise: float = 10.0  # slope in intensities per mm that counts for little

    def check(self) -> None:
        fine = self.sigma_mm >= 0 and self.noise > 0
        require(fine, "gradients needs sigma_mm of at least 0 and noise above 0", (self.sigma_mm, self.noise))

    def __call__(self, volume: Volume, mask: Tensor) -> FeatureVolume:
        """Directions (3, D, H, W), (x, y, z), within the mask and outside. Raises InputError: not isotropic."""
        grid = volume.grid
        require(grid.is_isotropic, "Gradients need an isotropic grid", f"a spacing of {grid.spacing_mm} mm (x, y, z)")
        data = gaussian(volume.data, [self.sigma_mm / s for s in reversed(grid.spacing_mm)])
        slopes = [derivative(data, axis, grid.spacing_mm[-1 - axis]) for axis in reversed(AXES)]  # of i, j, k
        out = torch.zeros_like(data).expand(3, *grid.shape).contiguous()
        for component, row in zip(out, grid.direction, strict=True):
            for slope, weight in zip(slopes, row, strict=True):
                if weight:  # mostly one for each component; a product of matrices would round as its threads share it
                    component.add_(slope, alpha=weight)
        length = out.square().sum(0).add_(self.noise**2).sqrt_()
        return FeatureVolume(grid, out.div_(length))
