"""Fields that do not fold: where the Jacobian is too small, the displacement is smoothed until it is not."""

from dataclasses import replace

import torch
from torch import Tensor

from graphreg.core.fields import jacobian_determinant
from graphreg.core.filters import box_max, gaussian
from graphreg.core.records import DenseField

ATTEMPTS = 60
PATIENCE = 4  # attempts before the place that is smoothed grows by a voxel in every direction


def unfold(field: DenseField, mask: Tensor, smallest: float) -> DenseField:
    """The field with a Jacobian determinant of at least ``smallest`` at all voxels of a mask (D, H, W) on its grid.

    Around those voxels alone the displacement is averaged with its neighbourhood, over more of it the longer it takes.
    A field that is good enough is returned as it is.

    Raises:
        ValueError: no smoothing does, as with a determinant above that of any map of the surroundings.
    """
    for attempt in range(ATTEMPTS):
        low = (jacobian_determinant(field) < smallest) & mask
        if not bool(low.any()):
            return field
        reach = 1 + attempt // PATIENCE
        near = gaussian(box_max(low.to(field.displacement_mm), (reach,) * 3), (reach / 2,) * 3)
        soft = gaussian(field.displacement_mm, (reach / 2,) * 3)
        field = replace(field, displacement_mm=torch.lerp(field.displacement_mm, soft, near))
    raise ValueError(f"A Jacobian that can be kept above {smallest} needed, found {int(low.sum())} voxels below")
