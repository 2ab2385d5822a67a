"""Separable filters on dense arrays (..., D, H, W): Gaussian, box, difference. Borders are replicated."""

from collections.abc import Sequence

import torch
from torch import Tensor

AXES = (-3, -2, -1)


def correlate(data: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Correlation with an odd one-dimensional kernel along one axis, the border replicated."""
    radius, size = kernel.numel() // 2, data.shape[axis]
    rows = torch.arange(-radius, size + radius, device=data.device).clamp(0, size - 1)
    padded = data.index_select(axis, rows)
    out = torch.zeros_like(data)
    for tap, weight in enumerate(kernel.tolist()):
        if weight:
            out.add_(padded.narrow(axis, tap, size), alpha=weight)
    return out


def gaussian(data: Tensor, sigma: Sequence[float]) -> Tensor:
    """Gaussian smoothing with a standard deviation in voxels per axis (z, y, x), cut at three of them."""
    for axis, s in zip(AXES, sigma, strict=True):
        if s > 0:
            data = correlate(data, gaussian_kernel(s), axis)
    return data


def gaussian_kernel(sigma: float) -> Tensor:
    """Weights of a sampled Gaussian (2 r + 1,), r = ceil(3 sigma), of sum one."""
    radius = max(int(3 * sigma + 0.999), 1)
    taps = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (taps / sigma) ** 2)
    return kernel / kernel.sum()


def box_mean(data: Tensor, radius: int) -> Tensor:
    """Mean over the (2 radius + 1)^3 neighbourhood."""
    kernel = torch.full((2 * radius + 1,), 1 / (2 * radius + 1), dtype=torch.float64)
    for axis in AXES:
        data = correlate(data, kernel, axis)
    return data


def derivative(data: Tensor, axis: int, spacing: float) -> Tensor:
    """First derivative along an axis by the fourth-order five-point difference, per unit of spacing."""
    kernel = torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0], dtype=torch.float64) / (12 * spacing)
    return correlate(data, kernel, axis)
