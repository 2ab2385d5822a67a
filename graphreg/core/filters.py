"""Separable filters on dense arrays (..., D, H, W): Gaussian, box, difference. Borders are replicated."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphreg.runtime.chunks import rows

AXES = (-3, -2, -1)


def correlate(data: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Correlation with an odd one-dimensional kernel along one axis, the border replicated."""
    out = torch.empty_like(data)
    across = -2 if axis in (-3, data.ndim - 3) else -3  # parts along another axis are independent
    thickness = rows(4 * data.numel() // data.shape[across], data.device)  # and stay in the cache
    for part, source in zip(out.split(thickness, across), data.split(thickness, across), strict=True):
        _correlate(part, source, kernel, axis)
    return out


def _correlate(out: Tensor, data: Tensor, kernel: Tensor, axis: int) -> None:
    radius, size = kernel.numel() // 2, data.shape[axis]
    weights = kernel.tolist()
    torch.mul(data, weights[radius], out=out)
    for shift in range(1, radius + 1):
        inside, beyond = max(size - shift, 0), min(shift, size)
        for weight, to, source, end in (
            (weights[radius + shift], 0, size - inside, size - 1),
            (weights[radius - shift], size - inside, 0, 0),
        ):
            if weight:
                out.narrow(axis, to, inside).add_(data.narrow(axis, source, inside), alpha=weight)
                border = out.narrow(axis, inside if to == 0 else 0, beyond)
                border.add_(data.narrow(axis, end, 1), alpha=weight)


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


def box_sum(data: Tensor, radius: int) -> Tensor:
    """Sum over the (2 radius + 1)^3 neighbourhood, where all of it lies in the data: smaller by radius at every end."""
    for axis in AXES:
        size = data.shape[axis] - 2 * radius
        total = data.narrow(axis, 0, size)
        if radius:
            total = total + data.narrow(axis, 1, size)
        for shift in range(2, 2 * radius + 1):
            total += data.narrow(axis, shift, size)
        data = total
    return data


def box_max(data: Tensor, radius: Sequence[int]) -> Tensor:
    """Largest value of a box around every voxel, with a half-width in voxels per axis (z, y, x)."""
    for axis, r in zip(AXES, radius, strict=True):
        out, size = data.clone(), data.shape[axis]
        for shift in range(1, min(r, size - 1) + 1):
            for to, source in ((0, shift), (shift, 0)):
                here = out.narrow(axis, to, size - shift)
                torch.maximum(here, data.narrow(axis, source, size - shift), out=here)
        data = out
    return data


def derivative(data: Tensor, axis: int, spacing: float) -> Tensor:
    """First derivative along an axis by the fourth-order five-point difference, per unit of spacing."""
    kernel = torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0], dtype=torch.float64) / (12 * spacing)
    return correlate(data, kernel, axis)
