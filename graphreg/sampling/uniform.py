"""Stage 1: points anywhere in the mask, distinctive or not.  Volume, mask -> Keypoints

Voxels of the mask, thinned by farthest points to a wanted count: evenly spread whatever the image shows. Where they are
many, one of each of equal shares is looked at, drawn by chance with a fixed seed: every n-th one would lie in planes
where n divides the length of a row. The baseline of every sampler that looks at the image.
"""

from dataclasses import dataclass

from torch import Tensor

from graphreg.core.records import Keypoints, Volume
from graphreg.core.settings import Settings, require
from graphreg.sampling.spread import MINIMUM, farthest_points, one_of_each_share, require_enough, require_mask

CANDIDATES = 20  # times as many voxels as keypoints are looked at


@dataclass(frozen=True, kw_only=True)
class Uniform(Settings):
    """Sampler. Raises InputError where a number is out of range."""

    count: int = 2048  # keypoints wanted; fewer where the mask has fewer voxels

    def check(self) -> None:
        require(self.count >= MINIMUM, f"uniform.count must be at least {MINIMUM}", self.count)

    def __call__(self, volume: Volume, mask: Tensor) -> Keypoints:
        """Evenly spread voxels of a mask (D, H, W) bool on the grid of the volume.

        Raises:
            InputError: the mask holds fewer than 50 voxels.
            ValueError: the mask is not bool on that grid.
        """
        require_mask(mask, volume.grid)
        index = mask.nonzero()
        require_enough(len(index))
        index = index[one_of_each_share(len(index), CANDIDATES * self.count).to(index.device)]
        points_mm = volume.grid.to_mm(index.double()).to(volume.data)
        return Keypoints(points_mm[farthest_points(points_mm, self.count)])
