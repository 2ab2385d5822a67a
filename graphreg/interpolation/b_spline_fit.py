"""The control points of a cubic B-spline that fits scattered values and bends little.  Conjugate gradients, float64.

Least squares in values at points, with B their weights of the control points and W = diag(c / sum c), plus the mean
bending energy with smoothness s over a volume V:

    (B' W B + s / V K) phi = B' W v,   K = sum over axes of K2 K0 K0 + 2 K1 K1 K0,

where Kd are the products, integrated along one axis, of the d-th derivatives of two splines. The work is done in the
modes U of each axis, U' K0 U = 1 and U' K2 U diagonal: natural vibrations, the straight lines the first of them. There
B' W B is the identity over V where the points are many and even, and K nearly diagonal. That is the preconditioner,
but for the lowest modes, about LOWEST of them, whose equations are solved as they are: they alone see where there are
no points.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.lattice import cubic_basis

LOWEST = 1000
TOLERANCE = 1e-4  # of the error in the norm of the equations; 0.01 mm for motions of some cm
USUAL = 1000.0  # mm^4; below it the equations hardly see what lies between the points, and the tolerance shrinks along
ITERATIONS = 3000  # at most; some 30 do for the usual smoothness, ever more for less

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class _Axis:
    modes: Tensor  # (n, n), U
    slope: Tensor  # (n, n), U' K1 U
    bend: Tensor  # (n,), diagonal of U' K2 U


def fit(where: Tensor, values: Tensor, weights: Tensor, shape: Shape, step_mm: float, smoothness: float) -> Tensor:
    """Control points (C, *shape) for values (M, C) at fractional indices (M, 3), (z, y, x), from 1 to size - 2.

    Raises InputError where the smoothness is so small that they are not found.
    """
    axes = [_axis(size - 3, step_mm) for size in shape]
    volume = math.prod((size - 3) * step_mm for size in shape)
    weights = weights / weights.sum()
    design = _design(where, shape)
    transposed = sparse.csr_array(design.T)
    modes = [axis.modes for axis in axes]
    back = [axis.modes.T for axis in axes]

    def operate(a: Tensor) -> Tensor:
        at_points = _times(design, along(a, *modes))
        data = along(_times(transposed, weights * at_points).unflatten(1, shape), *back)
        return data + smoothness / volume * _bending(a, axes)

    right = along(_times(transposed, weights * values.T).unflatten(1, shape), *back)
    precondition = _preconditioner(where, weights, axes, smoothness / volume, 1 / volume)
    tolerance = TOLERANCE * min(smoothness / USUAL, 1.0)
    found = precondition and _conjugate_gradients(operate, precondition, right, tolerance)
    if found is None:
        raise InputError(f"b_spline.smoothness must be so large that all control points are told, got {smoothness:g}")
    return along(found, *modes)


def along(data: Tensor, z: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """One matrix (N, n) per axis of data (C, d, h, w)."""
    return _along_z(z, y @ (data @ x.T))


def _along_z(matrix: Tensor, data: Tensor) -> Tensor:
    return (matrix @ data.flatten(2)).unflatten(2, data.shape[2:])


def _times(matrix: sparse.csr_array, data: Tensor) -> Tensor:
    """A sparse matrix times each of data (C, ...), by scipy, which does not share a sum among threads."""
    return torch.from_numpy(np.stack([matrix @ row for row in data.flatten(1).numpy()]))


def _design(where: Tensor, shape: Shape) -> sparse.csr_array:
    """Weights (M, D H W) of the control points at fractional indices (M, 3)."""
    size = torch.tensor(shape)
    first = torch.minimum(where.floor().long(), size - 3).clamp_min(1) - 1
    index = first[:, :, None] + torch.arange(4)
    z, y, x = cubic_basis(where[:, :, None] - index).unbind(1)
    weights = z[:, :, None, None] * y[:, None, :, None] * x[:, None, None, :]
    k, j, i = index.unbind(1)
    flat = (k[:, :, None, None] * shape[1] + j[:, None, :, None]) * shape[2] + i[:, None, None, :]
    rows = np.arange(0, 64 * len(where) + 1, 64)
    columns = flat.flatten().numpy()
    return sparse.csr_array((weights.flatten().numpy(), columns, rows), shape=(len(where), math.prod(shape)))


def _axis(intervals: int, step_mm: float) -> _Axis:
    """The modes of one axis: U = R^-T Q for K0 = R R' and R^-1 K2 R^-T = Q diag Q'."""
    k0, k1, k2 = gram(intervals, step_mm)
    root = torch.linalg.cholesky(k0)
    half = torch.linalg.solve_triangular(root, k2, upper=False)
    bend, vectors = torch.linalg.eigh(torch.linalg.solve_triangular(root, half.T, upper=False))
    modes = torch.linalg.solve_triangular(root.T, vectors, upper=True)
    return _Axis(modes, modes.T @ k1 @ modes, bend.clamp_min(0))


def gram(intervals: int, step_mm: float) -> list[Tensor]:
    """Integrals (n + 3, n + 3) of products of splines, of their first and of their second derivatives over n steps."""
    nodes, weights = (torch.from_numpy(a) / 2 for a in np.polynomial.legendre.leggauss(4))  # exact to degree seven
    t = nodes + 0.5
    pieces = torch.stack(((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * (t + t**2 - t**3), t**3)) / 6
    slopes = torch.stack((-((1 - t) ** 2), 3 * t**2 - 4 * t, 1 + 2 * t - 3 * t**2, t**2)) / 2
    bends = torch.stack((1 - t, 3 * t - 2, 1 - 3 * t, t))
    found = []
    for order, values in enumerate((pieces, slopes, bends)):
        total = torch.zeros(intervals + 3, intervals + 3, dtype=torch.float64)
        for first in range(intervals):
            total[first : first + 4, first : first + 4] += (values * weights) @ values.T
        found.append(total * step_mm ** (1 - 2 * order))
    return found


def _bending(a: Tensor, axes: list[_Axis]) -> Tensor:
    """K in the modes, times a (C, D, H, W)."""
    z, y, x = axes
    along_z = _along_z(z.slope, a)
    mixed = y.slope @ along_z + (along_z + y.slope @ a) @ x.slope  # the slopes are symmetric
    return (z.bend[:, None, None] + y.bend[:, None] + x.bend) * a + 2 * mixed


def _preconditioner(
    where: Tensor, weights: Tensor, axes: list[_Axis], stiffness: float, density: float
) -> Callable[[Tensor], Tensor] | None:
    """Nearly the inverse of the equations; None where those of the lowest modes have none."""
    z, y, x = ((axis.bend, axis.slope.diagonal()) for axis in axes)
    mixed = z[1][:, None, None] * y[1][:, None] + (z[1][:, None, None] + y[1][:, None]) * x[1]
    diagonal = density + stiffness * (z[0][:, None, None] + y[0][:, None] + x[0] + 2 * mixed)
    share = min((LOWEST / diagonal.numel()) ** (1 / 3), 1.0)
    counts = [max(round(size * share), 2) for size in diagonal.shape]
    lowest = tuple(slice(0, n) for n in counts)
    factor, failed = torch.linalg.cholesky_ex(_lowest_block(where, weights, axes, counts, stiffness))
    if bool(failed):
        return None

    def apply(residual: Tensor) -> Tensor:
        out = residual / diagonal
        part = residual[:, *lowest]
        out[:, *lowest] = torch.cholesky_solve(part.flatten(1).T, factor).T.reshape(part.shape)
        return out

    return apply


def _lowest_block(where: Tensor, weights: Tensor, axes: list[_Axis], counts: list[int], stiffness: float) -> Tensor:
    """The equations (n, n) of the lowest modes of each axis, by themselves."""
    parts = [_Axis(axis.modes[:, :n], axis.slope[:n, :n], axis.bend[:n]) for axis, n in zip(axes, counts, strict=True)]
    z, y, x = (
        cubic_basis(place[:, None] - torch.arange(len(axis.modes))) @ axis.modes
        for place, axis in zip(where.T, parts, strict=True)
    )
    rows = (z[:, :, None, None] * y[:, None, :, None] * x[:, None, None, :]).flatten(1) * weights.sqrt()[:, None]
    each = torch.eye(rows.shape[1], dtype=torch.float64).unflatten(1, counts)
    return rows.T @ rows + stiffness * _bending(each, parts).flatten(1)


def _conjugate_gradients(
    operate: Callable[[Tensor], Tensor], precondition: Callable[[Tensor], Tensor], right: Tensor, tolerance: float
) -> Tensor | None:
    """The solution (C, D, H, W) of each component (Hestenes & Stiefel 1952); None where it is not met in time."""
    found, residual = torch.zeros_like(right), right.clone()
    towards = precondition(residual)
    direction = towards.clone()
    least = torch.finfo(right.dtype).tiny
    size = start = _dot(residual, towards)
    for _ in range(ITERATIONS):
        if bool((size <= tolerance**2 * start).all()):
            return found
        moved = operate(direction)
        step = size / _dot(direction, moved).clamp_min(least)
        found += step * direction
        residual -= step * moved
        towards = precondition(residual)
        before, size = size, _dot(residual, towards)
        direction = towards + size / before.clamp_min(least) * direction
    return None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2, 3), keepdim=True)
