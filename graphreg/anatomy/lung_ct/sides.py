"""A mask of both lungs as the patient's left and right one."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from graphreg.core.grid import Grid, box

PART = 0.15  # the second lung has at least this share of the first
APART = 0.25  # and its centre lies away from the first's by this share of the width of both


def lung_regions(mask: Tensor, grid: Grid) -> dict[str, Tensor]:
    """Masks (D, H, W) of both lungs, the patient's left and the right one.

    The lungs are the two largest parts of the mask, if they lie side by side, else the halves of its width.
    """
    part = box(mask)
    inside, left = mask[part], torch.zeros_like(mask)
    left[part] = _left(inside, _x_mm(grid.part(part)).to(inside.device))
    regions = {"lungs": mask, "left lung": left, "right lung": mask & ~left}
    return {name: region for name, region in regions.items() if bool(region.any())}


def _x_mm(grid: Grid) -> Tensor:
    """Position (D, H, W) from the patient's right to left."""
    like = torch.empty(0)
    return torch.cat([grid.points_mm(like, slab)[..., 0].clone() for slab in grid.slabs()])


def _left(inside: Tensor, x_mm: Tensor) -> Tensor:
    """The part of a mask that is the left lung."""
    low, high = x_mm[inside].aminmax()
    labels, _ = ndimage.label(inside.cpu().numpy())
    sizes = np.bincount(labels.ravel(), minlength=3)
    sizes[0] = 0
    parts = torch.from_numpy(labels).to(inside.device)
    one, other = (parts == int(n) for n in np.argsort(sizes)[:-3:-1])
    if other.sum() >= PART * one.sum():
        right, left = sorted((one, other), key=lambda lung: x_mm[lung].mean().item())
        ends = x_mm[right].mean(), x_mm[left].mean()
        if ends[1] - ends[0] > APART * (high - low):
            return left | (inside & ~right & (x_mm > (ends[0] + ends[1]) / 2))
    return inside & (x_mm > (low + high) / 2)
