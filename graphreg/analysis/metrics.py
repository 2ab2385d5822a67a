"""How well a registration did: target registration error, overlap.

The error of a landmark is the distance in mm between where the field takes the fixed point and the moving point.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.core.grid import Grid
from graphreg.core.records import Landmarks, Motion

FAR_MM = 5.0
WORST = 0.3  # share of landmarks


@dataclass(frozen=True, kw_only=True)
class TreSummary:
    """Figures of a set of landmark errors."""

    count: int
    mean_mm: float
    sd_mm: float  # of a sample (n - 1)
    median_mm: float
    p75_mm: float
    p95_mm: float
    max_mm: float
    worst_30_mm: float  # mean of the worst 30 % of the landmarks
    above_5_mm: float  # share of landmarks


def tre(field: Motion, landmarks: Landmarks) -> Tensor:
    """Error (M,) of each landmark in mm."""
    return (field(landmarks.fixed_mm) - landmarks.moving_mm).norm(dim=1)


def tre_snapped(field: Motion, landmarks: Landmarks, moving: Grid) -> Tensor:
    """Error (M,) in mm after each component is rounded to whole voxels of the moving image.

    The practice of DIR-Lab, whose readers could place a landmark at the centre of a voxel only: half a voxel counts
    for nothing. Published figures of both kinds exist; say which one is given.
    """
    mapped, true = (moving.to_index(points_mm) for points_mm in (field(landmarks.fixed_mm), landmarks.moving_mm))
    voxels = (mapped - true).round()
    return (moving.to_mm(voxels) - moving.to_mm(torch.zeros_like(voxels))).norm(dim=1)


def summarise(errors_mm: Tensor) -> TreSummary:
    """Figures of landmark errors (M,) in mm, of which there must be at least one."""
    if errors_mm.ndim != 1 or not len(errors_mm):
        raise ValueError(f"Landmark errors must be (M,) in mm with M of at least 1, got {tuple(errors_mm.shape)}")
    errors = errors_mm.double()
    median, p75, p95 = torch.quantile(errors, errors.new_tensor([0.5, 0.75, 0.95])).tolist()
    return TreSummary(
        count=len(errors),
        mean_mm=errors.mean().item(),
        sd_mm=errors.std().item() if len(errors) > 1 else 0.0,
        median_mm=median,
        p75_mm=p75,
        p95_mm=p95,
        max_mm=errors.max().item(),
        worst_30_mm=errors.topk(math.ceil(WORST * len(errors) - 1e-9)).values.mean().item(),
        above_5_mm=(errors > FAR_MM).double().mean().item(),
    )


def dice(a: Tensor, b: Tensor) -> float:
    """Overlap 2 |a and b| / (|a| + |b|) of two masks of one shape: 1 if they agree, 0 if apart."""
    if a.shape != b.shape:
        raise ValueError(f"Masks must have one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    total = int(a.sum()) + int(b.sum())
    if total == 0:
        raise ValueError("The overlap of two empty masks is not defined")
    return 2 * int((a & b).sum()) / total


def sdlogj_l2r(jacobian: Tensor, mask: Tensor) -> float:
    """SDlogJ as the evaluator of Learn2Reg computes it: determinant + 3, clipped, on the mask cropped by two voxels.

    To compare with tables of that challenge only; ``log_jacobian_sd`` is the plain figure.
    """
    inner = (slice(2, -2),) * 3
    values = jacobian[inner][mask[inner]].double()
    return (values + 3).clamp(1e-9, 1e9).log().std(correction=0).item()
