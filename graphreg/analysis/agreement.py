"""How well two images agree where no landmark or segmentation tells."""

import math

from torch import Tensor

from graphreg.core.filters import gaussian
from graphreg.core.records import Volume
from graphreg.features.normalised import NormalisedIntensities

LOCAL = NormalisedIntensities(window_mm=3.0, noise=40.0)  # noise of ordinary scans decides little
AROUND_MM = 8.0  # standard deviation of the neighbourhood of a place


def ncc(fixed: Tensor, moving: Tensor, mask: Tensor) -> float:
    """Normalised cross-correlation in [-1, 1] of two images (D, H, W) of one grid within a mask (D, H, W) bool.

    NaN where an image is constant within the mask. Raises ValueError where the shapes differ.
    """
    if not fixed.shape == moving.shape == mask.shape:
        shapes = ", ".join(str(tuple(array.shape)) for array in (fixed, moving, mask))
        raise ValueError(f"Images and mask must have one shape, got {shapes}")
    f, m = (image[mask].double() for image in (fixed, moving))
    if not f.numel() or f.aminmax().min == f.aminmax().max or m.aminmax().min == m.aminmax().max:
        return math.nan
    f, m = f - f.mean(), m - m.mean()
    return float((f @ m) / (f.norm() * m.norm()))


def local_ncc(fixed: Volume, moving: Volume, mask: Tensor, around_mm: float = AROUND_MM) -> Tensor:
    """Correlation in [-1, 1] of two images of one grid around every voxel of a mask (D, H, W) bool; 0 outside.

    Of intensities normalised in a window of 3 mm, so that structures decide and not how dense the tissue is, within a
    Gaussian neighbourhood of that standard deviation. Raises ValueError where grids or shapes differ.
    """
    if not fixed.grid == moving.grid or mask.shape != fixed.data.shape:
        raise ValueError(f"Images and mask must lie on one grid, got {fixed.grid}, {moving.grid}, {tuple(mask.shape)}")
    f, m = (LOCAL(volume, mask).data[0] for volume in (fixed, moving))
    sigma = [around_mm / s for s in reversed(fixed.grid.spacing_mm)]
    norm = (gaussian(f * f, sigma) * gaussian(m * m, sigma)).clamp_min_(1e-12).sqrt_()
    return gaussian(f * m, sigma).div_(norm).clamp_(-1, 1) * mask
