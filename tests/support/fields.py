"""Displacement fields in the files of other programs, read by SimpleITK alone."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from graphreg.core.grid import Grid
from graphreg.core.records import DenseField
from support.problems import placed_grid


def read_field(path: Path, layout: str, fixed: Grid | None = None, moving: Grid | None = None) -> DenseField:
    """The motion in mm; learn2reg counts voxels of the fixed image to voxels of the moving one."""
    image = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(image)
    if layout != "learn2reg":
        direction = np.reshape(image.GetDirection(), (3, 3)).tolist()
        grid = placed_grid(image.GetSize()[::-1], image.GetSpacing(), image.GetOrigin(), direction)
        return DenseField(grid, torch.from_numpy(values).movedim(-1, 0))
    assert fixed and moving and values.shape == (3, *fixed.shape)
    steps = torch.from_numpy(values).double().movedim(0, -1).flip(-1)  # z, y, x
    index = torch.cartesian_prod(*(torch.arange(n).double() for n in fixed.shape)).reshape(*fixed.shape, 3)
    return DenseField(fixed, (moving.to_mm(index + steps) - fixed.to_mm(index)).movedim(-1, 0))
