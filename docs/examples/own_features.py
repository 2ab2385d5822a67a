"""Features of one's own, and others for the moving image: intensities and how they change, in one vector.

Any object with the method of ``graphreg.core.protocols.Features`` does; nothing has to be registered. Where the two
images are of different kinds, ``moving_features`` describes the moving one; both need the same number of channels.

    python docs/examples/own_features.py
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphreg import PRESETS, RegistrationConfig, make_phantom, register, tre
from graphreg.anatomy.lung_ct import LungCT
from graphreg.anatomy.lung_ct.mask import LungFinder
from graphreg.core.filters import gaussian
from graphreg.core.records import FeatureVolume, Volume
from graphreg.core.settings import Settings
from graphreg.phantom import PhantomConfig


@dataclass(frozen=True, kw_only=True)
class Bands(Settings):
    """Differences of Gaussians: an image taken apart by the size of its structures."""

    sizes_mm: tuple[float, ...] = (1.5, 3.0, 6.0)  # standard deviations
    contrast: float = 100.0  # a difference that counts as one
    inverted: bool = False  # for an image in which bright is dark

    def __call__(self, volume: Volume, mask: Tensor) -> FeatureVolume:
        """One channel less than there are sizes (C, D, H, W)."""
        sign = -1.0 if self.inverted else 1.0
        spacing = volume.grid.spacing_mm[0]  # the working grid is isotropic
        soft = [gaussian(volume.data, (size / spacing,) * 3) for size in self.sizes_mm]
        bands = [sign * (fine - coarse) / self.contrast for fine, coarse in zip(soft, soft[1:], strict=False)]
        return FeatureVolume(volume.grid, torch.stack(bands))


def main(config: RegistrationConfig = PRESETS["fast"], scans: PhantomConfig = PhantomConfig()) -> float:
    """Mean landmark error in mm of a phantom whose moving image is a negative."""
    phantom = make_phantom(config=scans)
    low, high = -1000.0, 200.0
    negative = replace(phantom.pair.moving, data=low + high - phantom.pair.moving.data.clamp(low, high))
    pair = replace(phantom.pair, moving=negative)
    anatomy = LungCT(find=LungFinder(air_hu=high, gas_hu=low))  # a negative holds no air: here none is asked for
    inverted = Bands(inverted=True)
    levels = tuple(replace(level, features=Bands(), moving_features=inverted) for level in config.levels)
    result = register(pair, config=replace(config, anatomy=anatomy, levels=levels, refinement=()))
    return float(tre(result.field, phantom.landmarks).mean())


if __name__ == "__main__":
    print(f"{main():.2f} mm")  # noqa: T201  # an example shows what it does
