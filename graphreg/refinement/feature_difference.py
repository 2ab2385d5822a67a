"""Stage 7, objective: features of the fixed image against those that a motion brings there.

    E(v) = mean_x |f(x) - m(x + u(x))|^2 + s R(u),   u = B v,

over points x of the region. f are features of the fixed image and m of the moving one as it looks through the motion so
far: MIND, intensities normalised in their neighbourhood (whose mean squared difference is twice one less the local
correlation), or intensities. B is a quadratic B-spline on a control grid, R the diffusion or bending energy of u per
volume of the region. Points outside it carry no data: what slides along its border pulls nothing along, and the motion
goes on smoothly beyond.

Gradients of the features are those of linear interpolation, or of the plane through jittered samples around the point
(linearised multi-sampling; Jiang et al., ICCV 2019), which see further than the next voxel.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid, sample
from graphreg.core.lattice import linear, same_axes, transfer
from graphreg.core.records import DenseField, FeatureVolume
from graphreg.core.settings import Settings
from graphreg.runtime.chunks import single_thread

PENALTIES = ("diffusion", "bending")
GRADIENTS = ("interpolated", "linearised")
SAMPLES = 8  # of a plane, as published
PARTS = 2  # of the points, which cores share


@dataclass(frozen=True, kw_only=True)
class Comparison(Settings):
    """Points, control grid and smoothness. Raises InputError where a setting is unknown or a number out of range."""

    control_mm: float = 3.0  # spacing of the control grid
    penalty: str = "bending"  # or diffusion
    smoothness: float = 5.0  # of the penalty: in mm^2 for bending, a plain number for diffusion
    points: int = 100_000  # at which the features are compared in one step
    gradient: str = "interpolated"  # or linearised
    jitter_mm: float = 1.0  # standard deviation of the samples of a linearised gradient

    def check(self) -> None:
        for name, value, known in (("penalty", self.penalty, PENALTIES), ("gradient", self.gradient, GRADIENTS)):
            if value not in known:
                raise InputError(f"refinement {name} must be one of {', '.join(known)}, got {value!r}")
        if not (self.control_mm > 0 and self.smoothness >= 0 and self.points > 0 and self.jitter_mm > 0):
            need = "refinement needs control_mm, points and jitter_mm above 0 and smoothness of at least 0"
            raise InputError(f"{need}, got {self.control_mm}, {self.points}, {self.jitter_mm} and {self.smoothness}")


class FeatureDifference:
    """The objective. Parameters: (3, d, h, w) in mm on a control grid.

    ``weights`` (D, H, W) >= 0 on the grid of the features say how much a voxel counts; where they are 0, it does not.
    Raises ValueError where features and weights differ in shape, InputError where the features have different numbers
    of channels or no voxel counts.
    """

    def __init__(self, fixed: FeatureVolume, moving: FeatureVolume, weights: Tensor, config: Comparison = Comparison()):
        if fixed.grid != moving.grid:
            raise ValueError(f"Both features need one grid, got {fixed.grid} and {moving.grid}")
        fixed.require_channels_of(moving)
        need = f"Weights {fixed.grid.shape}, not all 0, needed"
        if tuple(weights.shape) != fixed.grid.shape:
            raise ValueError(f"{need}, got {tuple(weights.shape)}")
        if not bool(weights.any()):  # a grid so coarse that it misses the region
            raise InputError(f"{need}, got none above 0")
        self.grid, self.config = fixed.grid, config
        self.control = fixed.grid.with_spacing(config.control_mm)
        self._moving = moving.data
        self._voxels = weights.nonzero()
        z, y, x = self._voxels.unbind(1)
        self._fixed = fixed.data[:, z, y, x]
        self._weights = weights[z, y, x].to(fixed.data)
        # the penalty is an integral over the control grid per volume of the region: a wider margin changes nothing
        self._share = config.control_mm**3 / (len(self._voxels) * math.prod(self.grid.spacing_mm))

    def start(self) -> Tensor:
        """No motion."""
        return self._fixed.new_zeros(3, *self.control.shape)

    def __call__(self, parameters: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """E for displacements (3, d, h, w) of the control grid."""
        chosen = self._drawn(generator)
        smooth = smoothed(parameters)
        points_mm = self.grid.to_mm(self._voxels[chosen].to(smooth))
        moved_mm = points_mm + sample(smooth, self.control, points_mm).movedim(0, -1)
        if self.config.gradient == "linearised":
            seen = linearised(self._moving, self.grid, moved_mm, self.config.jitter_mm, generator)
        else:
            seen = sample(self._moving, self.grid, moved_mm)
        weights = self._weights[chosen]
        difference = _sum((seen - self._fixed[:, chosen]).square().mean(0) * weights) / _sum(weights)
        penalty = diffusion if self.config.penalty == "diffusion" else bending
        return difference + self.config.smoothness * self._share * penalty(smooth, self.config.control_mm)

    def _drawn(self, generator: torch.Generator | None) -> Tensor:
        """Voxels (PARTS, m) to look at: one of each of equal shares of all, which so come in the order of memory."""
        count = len(self._voxels)
        drawn = math.ceil(min(self.config.points, count) / PARTS) * PARTS
        place = torch.rand(drawn, generator=generator, dtype=torch.float64) if generator else 0.5
        chosen = ((torch.arange(drawn, dtype=torch.float64) + place) * (count / drawn)).long()
        return chosen.reshape(PARTS, -1).to(self._voxels.device)

    def field(self, parameters: Tensor, grid: Grid) -> DenseField:
        """The motion that parameters stand for, on any grid."""
        smooth = smoothed(parameters)
        if same_axes(self.control, grid):
            return DenseField(grid, transfer(smooth, self.control, grid, (linear,) * 3))
        out = smooth.new_empty(3, *grid.shape)
        for slab in grid.slabs():
            out[:, slab] = sample(smooth, self.control, grid.points_mm(smooth, slab))
        return DenseField(grid, out)


def smoothed(parameters: Tensor) -> Tensor:
    """Twice the mean of the 3^3 neighbourhood: with linear interpolation between, nearly a B-spline."""
    return _Smoothed.apply(parameters)


class _Smoothed(torch.autograd.Function):
    """Products with a matrix along each axis there and, transposed, back. Several threads would round otherwise."""

    @staticmethod
    def forward(ctx: Any, parameters: Tensor) -> Tensor:
        with single_thread():
            matrices = [_twice_the_mean(size, parameters) for size in parameters.shape[1:]]
            ctx.save_for_backward(*matrices)
            return _along_axes(parameters, *matrices)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        with single_thread():
            return _along_axes(gradient, *(matrix.T for matrix in ctx.saved_tensors))


def _along_axes(data: Tensor, z: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Data (3, d, h, w) with matrices (d, d), (h, h) and (w, w) applied along its axes."""
    rows = data.flatten(0, 1)
    rows = y.expand(len(rows), -1, -1) @ (rows @ x.T)
    columns = rows.unflatten(0, data.shape[:2]).transpose(1, 2).flatten(0, 1)
    columns = z.expand(len(columns), -1, -1) @ columns
    return columns.unflatten(0, (data.shape[0], data.shape[2])).transpose(1, 2).contiguous()


def _twice_the_mean(size: int, like: Tensor) -> Tensor:
    """The matrix (size, size) that does so along one axis, at the ends of the neighbours that there are."""
    near = torch.ones(size, size, dtype=like.dtype, device=like.device).tril(1).triu(-1)
    mean = near / near.sum(1, keepdim=True)
    return mean @ mean


def diffusion(displacement: Tensor, spacing_mm: float) -> Tensor:
    """Sum of the squared first differences of displacements (3, d, h, w), per mm."""
    return torch.stack([_sum(torch.diff(displacement, dim=axis).square()) for axis in (1, 2, 3)]).sum() / spacing_mm**2


def bending(displacement: Tensor, spacing_mm: float) -> Tensor:
    """Sum of the squared second differences of displacements (3, d, h, w) along each axis and across, per mm^2."""
    total = displacement.new_zeros(())
    for axis in (1, 2, 3):
        total = total + _sum(torch.diff(displacement, n=2, dim=axis).square())
        for other in range(axis + 1, 4):
            total = total + 2 * _sum(torch.diff(torch.diff(displacement, dim=axis), dim=other).square())
    return total / spacing_mm**4


def _sum(values: Tensor) -> Tensor:
    """The sum () of an array of few rows, each added up by one thread: its rounding does not depend on their number."""
    return values.flatten(1).sum(1).sum()


def linearised(
    data: Tensor, grid: Grid, points_mm: Tensor, jitter_mm: float, generator: torch.Generator | None
) -> Tensor:
    """Values (C, ...) of data at points (..., 3) whose gradients are those of the plane through samples around them."""
    here = points_mm.detach()
    generator = generator or torch.Generator().manual_seed(0)
    offsets_mm = (torch.randn(SAMPLES, 3, generator=generator) * jitter_mm).to(here)
    around = torch.stack([sample(data, grid, here + offset) for offset in offsets_mm])  # (K, C, ...)
    slopes = torch.einsum("ak,kc...->c...a", torch.linalg.pinv(offsets_mm - offsets_mm.mean(0)), around)
    return sample(data, grid, here) + (slopes * (points_mm - here)).sum(-1)
