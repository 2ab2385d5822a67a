"""How much memory a registration takes, known before an image is read.

Most of it are the images, and at each level the features of both on its grid around their regions. How large those are
is not known yet: the smallest that the anatomy knows are the least that there will be. What is refused could not have
been done.

What fills a role may tell what it costs: features by their number of ``channels``, an interpolator by a method
``least_bytes`` of the number of keypoints. Of what does not tell it, the least is taken.
"""

import math
from collections.abc import Callable

import torch

from graphreg.config import LevelConfig, RegistrationConfig
from graphreg.core.cubes import label_grid
from graphreg.core.errors import PathInput, unsuitable
from graphreg.core.prepared import CROP_MM, MARGIN_MM
from graphreg.io.extents import Extent, read_extent
from graphreg.matching import DisplacementSearch
from graphreg.runtime.memory import available_bytes
from graphreg.sampling import Foerstner, Uniform

Triple = tuple[float, float, float]

READ, KEPT, CUT = 4, 5, 4  # bytes per voxel of an image: read (one of two twice); with its mask; cut to the window
SEEN = 8  # bytes per voxel of a level: both images
CHANNEL = 11  # and of each channel: features of both images, most of those of the moving one once more
LABEL = 12  # bytes per displacement of a keypoint
SPARSE_MM3 = 4000.0  # of that box, at most, for every distinctive point that is found where very many are wanted


def require_memory(fixed: PathInput, moving: PathInput, config: RegistrationConfig, device: torch.device) -> None:
    """Raise InputError where two images are surely too large for the memory that there is."""
    extents = read_extent(fixed), read_extent(moving)
    if extents[0] is None or extents[1] is None:
        return
    needed = needed_bytes(extents[0], extents[1], config, on_gpu=device.type == "cuda")
    available = available_bytes(device)
    if needed > available:
        need = f"at least {needed / 1e9:.2f} GB of memory on the {device.type} for these images and settings"
        raise unsuitable(f"{fixed} and {moving}", need, f"{available / 1e9:.2f} GB available")


def needed_bytes(
    fixed: Extent, moving: Extent, config: RegistrationConfig, region_mm: Triple | None = None, on_gpu: bool = False
) -> float:
    """Memory that a registration takes beyond that of the idle program, with regions of that size in the images."""
    region_mm = region_mm or config.anatomy.typical_mm
    images = fixed.voxels + moving.voxels
    cut = CUT * sum(image.voxels * _share(image, region_mm) for image in (fixed, moving))
    box_mm = tuple(min(size, whole) for size, whole in zip(region_mm, fixed.size_mm, strict=True))
    work = max(_level_bytes(level, box_mm) for level in config.levels)
    reading = READ * (images + min(fixed.voxels, moving.voxels))
    return max(0 if on_gpu else reading, KEPT * images + cut + work)


def _share(image: Extent, region_mm: Triple) -> float:
    """Of an image, what is kept around the region."""
    return math.prod(
        min((size + 2 * CROP_MM) / whole, 1.0) if math.isfinite(whole) else 0.0
        for size, whole in zip(region_mm, image.size_mm, strict=True)
    )


def _level_bytes(level: LevelConfig, box_mm: tuple[float, ...]) -> float:
    voxels = math.prod((size + 2 * MARGIN_MM) / level.spacing_mm for size in box_mm)
    count = _keypoints(level, box_mm)
    images = (SEEN + CHANNEL * _channels(level)) * voxels
    return max(images, _interpolator_bytes(level, count)) + LABEL * count * _labels(level)


def _channels(level: LevelConfig) -> int:
    """Of the features: as many for either image, and one at least."""
    told = (getattr(features, "channels", 1) for features in (level.features, level.moving_features))
    return max(told)


def _interpolator_bytes(level: LevelConfig, count: float) -> float:
    tell: Callable[[float], float] | None = getattr(level.interpolator, "least_bytes", None)
    return tell(count) if tell else 0.0


def _keypoints(level: LevelConfig, box_mm: tuple[float, ...]) -> float:
    """Keypoints at least; of a sampler of one's own nothing is known."""
    if isinstance(level.sampler, Foerstner):
        return min(level.sampler.count, math.prod(box_mm) / SPARSE_MM3)
    return level.sampler.count if isinstance(level.sampler, Uniform) else 0


def _labels(level: LevelConfig) -> float:
    matcher = level.matcher
    return label_grid(matcher.radius_mm, matcher.step_mm).voxels if isinstance(matcher, DisplacementSearch) else 0
