"""What can be said of a registration without landmarks: agreement of descriptors, folding, volumes."""

import torch
from torch import Tensor

from graphreg.analysis.field import folding_fraction, jacobian_determinant, log_jacobian_sd
from graphreg.grid import Grid, sample
from graphreg.records import DenseField, FeatureVolume, Quality


def similarity(fixed: FeatureVolume, moving: FeatureVolume, mask: Tensor) -> float:
    """One minus the mean absolute difference of two descriptor volumes inside a mask (D, H, W); 1 is equal."""
    total = sum(float((f - m).abs()[mask].double().mean()) for f, m in zip(fixed.data, moving.data, strict=True))
    return 1 - total / len(fixed.data)


def mask_volume_mm3(mask: Tensor, grid: Grid) -> float:
    """Volume of the set voxels."""
    x, y, z = grid.spacing_mm
    return float(mask.sum()) * x * y * z


def assess(
    field: DenseField, fixed_mask: Tensor, fixed_grid: Grid, similarities: tuple[float, float], volume_ratio: float
) -> Quality:
    """Figures of a field inside the fixed lung mask (D, H, W), given the similarity before and after."""
    jacobian = jacobian_determinant(field)
    inside = torch.empty(field.grid.shape, dtype=torch.bool, device=jacobian.device)
    for slab in field.grid.slabs():
        points = field.grid.points_mm(jacobian, slab)
        inside[slab] = sample(fixed_mask[None].to(jacobian), fixed_grid, points, outside=0.0)[0] > 0.5
    return Quality(
        *similarities,
        folding_percent=100 * folding_fraction(jacobian, inside),
        sdlogj=log_jacobian_sd(jacobian, inside),
        mean_jacobian=float(jacobian[inside].double().mean()),
        volume_ratio=volume_ratio,
    )
