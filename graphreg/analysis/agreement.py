"""How well two images agree where no landmark or segmentation tells."""

import math

from torch import Tensor


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
