"""Values on one grid, wanted on another with the same axes: one matrix product per axis.

A matrix (M, N) takes N samples along an axis to M places on it. Dense products of this size cost less than one look-up
per voxel.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from graphreg.core.grid import EDGE, Grid

Kernel = Callable[[int, Tensor], Tensor]  # number of samples, fractional indices (M,) -> matrix (M, N), float64


def transfer(data: Tensor, source: Grid, target: Grid, kernels: tuple[Kernel, Kernel, Kernel]) -> Tensor:
    """Data (C, d, h, w) on a source grid at the voxels of a target grid, by one kernel per axis (z, y, x).

    Raises:
        ValueError: the axes of the grids differ.
    """
    if not same_axes(source, target):
        raise ValueError(f"Both grids need the same axes, got {source.direction} and {target.direction}")
    z, y, x = (
        kernel(size, where).to(data)
        for kernel, size, where in zip(kernels, source.shape, _places(source, target), strict=True)
    )
    channels, depth, height, width = data.shape
    data = torch.bmm(z.expand(channels, -1, -1), data.reshape(channels, depth, -1))  # (C, D, h w)
    data = data.reshape(-1, height, width)
    data = torch.bmm(y.expand(len(data), -1, -1), data)  # (C D, H, w)
    return (data.reshape(-1, width) @ x.T).reshape(channels, *target.shape)


def _places(source: Grid, target: Grid) -> Iterator[Tensor]:
    """Fractional indices (M,) of the target's voxels along each axis (z, y, x) of the source."""
    first = source.to_index(torch.tensor(target.origin_mm, dtype=torch.float64))
    spacings = zip(reversed(target.spacing_mm), reversed(source.spacing_mm), strict=True)
    for start, size, (step, unit) in zip(first, target.shape, spacings, strict=True):
        yield start + step / unit * torch.arange(size, dtype=torch.float64)


def same_axes(one: Grid, other: Grid) -> bool:
    """Whether the index axes of two grids point the same way, so nearly that no voxel of a scan is off by 0.1 um."""
    pairs = zip(sum(one.direction, ()), sum(other.direction, ()), strict=True)
    return all(abs(a - b) < 1e-7 for a, b in pairs)


def linear(size: int, where: Tensor) -> Tensor:
    """Linear interpolation; beyond the ends the end value goes on."""
    where = where.clamp(0, size - 1)
    return (1 - (where[:, None] - torch.arange(size, dtype=where.dtype)).abs()).clamp_min(0)


def linear_within(size: int, where: Tensor) -> Tensor:
    """Linear interpolation; zero more than half a voxel beyond the ends."""
    inside = (where >= -0.5 - EDGE) & (where <= size - 0.5 + EDGE)
    return linear(size, where) * inside[:, None]


def cubic(size: int, where: Tensor) -> Tensor:
    """Interpolation by a natural cubic B-spline.

    Unser (1999): the basis at the new places times the inverse of the basis at the samples. The natural end,
    a second derivative of zero, keeps straight lines straight.
    """
    knots = torch.arange(-1, size + 1, dtype=torch.float64)
    at_samples = cubic_basis(knots[1:-1, None] - knots)
    ends = at_samples.new_zeros(2, size + 2)
    ends[0, :3] = ends[1, -3:] = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    coefficients = torch.linalg.inv(torch.cat((at_samples, ends)))[:, :size]
    return cubic_basis(where[:, None] - knots) @ coefficients


def cubic_basis(x: Tensor) -> Tensor:
    """The cubic B-spline at a distance x in knots."""
    x = x.abs()
    return torch.where(x < 1, 2 / 3 - x**2 + x**3 / 2, (2 - x).clamp_min(0) ** 3 / 6)
