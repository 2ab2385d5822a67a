"""Between the stages: an image as it looks through a motion, on another grid.  Volume, motion, grid -> Volume"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from graphreg.core.filters import gaussian
from graphreg.core.grid import Grid, box, sample
from graphreg.core.intensities import IntensityWindow
from graphreg.core.lattice import linear, linear_within, same_axes, transfer
from graphreg.core.records import DenseField, Motion, Volume

Region = tuple[slice, slice, slice]  # indices (z, y, x)


def resample(volume: Volume, grid: Grid, motion: Motion, outside: float | None = None, nearest: bool = False) -> Volume:
    """The volume seen at motion(x) for every voxel x of a grid; beyond its border the border or ``outside``."""
    if motion is identity and not nearest and same_axes(volume.grid, grid):
        return Volume(grid, _in_place(volume, grid, outside), volume.stored)
    out = volume.data.new_empty(grid.shape)
    for slab in grid.slabs():
        points_mm = _moved(motion, grid, grid.points_mm(out, slab), slab)
        out[slab] = sample(volume.data[None], volume.grid, points_mm, outside, nearest)[0]
    return Volume(grid, out, volume.stored)


def _moved(motion: Motion, grid: Grid, points_mm: Tensor, slab: slice) -> Tensor:
    """motion(points), where the points (d, H, W, 3) are those of a slab of a grid."""
    if not isinstance(motion, DenseField) or not same_axes(motion.grid, grid):
        return motion(points_mm)
    part = grid.cropped((slab.start, 0, 0), (points_mm.shape[0], points_mm.shape[1], points_mm.shape[2]))
    shift_mm = transfer(motion.displacement_mm, motion.grid, part, (linear,) * 3).movedim(0, -1)
    return points_mm + shift_mm.to(points_mm.device)


def _in_place(volume: Volume, grid: Grid, outside: float | None) -> Tensor:
    """Linear interpolation (D, H, W) where nothing moves."""
    if outside is None:
        return transfer(volume.data[None], volume.grid, grid, (linear,) * 3)[0]
    if outside:
        volume = replace(volume, data=volume.data - outside)
    return transfer(volume.data[None], volume.grid, grid, (linear_within,) * 3)[0].add_(outside)


def resample_mask(mask: Tensor, mask_grid: Grid, grid: Grid, motion: Motion) -> Tensor:
    """A mask (D, H, W) seen at motion(x) for every voxel x of a grid, bool; nothing lies beyond its border."""
    if not bool(mask.any()):
        return torch.zeros(grid.shape, dtype=torch.bool, device=mask.device)
    part = box(mask, (1, 1, 1))  # as numbers, a mask of a whole scan takes four times its memory
    volume = Volume(mask_grid.part(part), mask[part].to(torch.float32))
    return resample(volume, grid, motion, outside=0.0).data > 0.5


def region(mask: Tensor, grid: Grid, margin_mm: float = 0.0) -> Region:
    """Indices of the box around a mask (D, H, W) on a grid, with a margin on every side."""
    return box(mask, [math.ceil(margin_mm / s) for s in reversed(grid.spacing_mm)])


def crop(volume: Volume, part: Region) -> Volume:
    """That part of a volume, where it lies; it shares the memory of the whole."""
    return Volume(volume.grid.part(part), volume.data[part], volume.stored)


def prepare(volume: Volume, spacing_mm: float, window: IntensityWindow) -> Volume:
    """The volume with intensities cut to a window, smoothed to what a grid of that spacing can hold."""
    # a Gaussian of 0.42 pixels is about the blur of a pixel: the variance missing to that of the coarser grid
    sigma = [0.42 * max(spacing_mm**2 - s**2, 0.0) ** 0.5 / s for s in reversed(volume.grid.spacing_mm)]
    sigma = [s if s > 0.2 else 0.0 for s in sigma]
    return Volume(volume.grid, gaussian(window(volume.data), sigma))  # without a name, which would keep it


def identity(points_mm: Tensor) -> Tensor:
    """The motion that moves nothing."""
    return points_mm
