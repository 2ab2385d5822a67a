"""Cubes of labels (N, L, L, L): what they weigh, where their mean lies, what they hold at a displacement.

Axes are (z, y, x), zero displacement at the centre, labels ``step_mm`` apart. All of it is open to gradients.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from graphreg.core.grid import Grid
from graphreg.runtime.chunks import rows

FAINTEST = 80.0  # largest exponent: less than exp(-80) is nothing


def label_grid(radius_mm: float, step_mm: float) -> Grid:
    """The cube of displacements as a grid: label (z, y, x) stands for the displacement at its position.

    The radius is rounded up to whole steps.
    """
    reach = max(math.ceil(radius_mm / step_mm - 1e-6), 1)
    return Grid((2 * reach + 1,) * 3, (step_mm,) * 3, (-reach * step_mm,) * 3)


def label_steps(costs: Tensor, step_mm: float) -> Tensor:
    """Displacements (L,) in mm of the labels along an axis of cubes (N, L, L, L)."""
    radius = costs.shape[1] // 2
    return torch.arange(-radius, radius + 1, device=costs.device, dtype=costs.dtype) * step_mm


def boltzmann(costs: Tensor, least: Tensor, weight: Tensor | float) -> Tensor:
    """exp(-weight (costs - least)) (N, L, L, L), least and weight (N,), not below what float32 can still multiply."""
    weight = torch.as_tensor(weight).to(costs)
    energy = (costs - least[:, None, None, None]) * -weight[..., None, None, None]
    return energy.clamp_min(-FAINTEST).exp()


def likelihood(costs: Tensor, weight: float) -> Tensor:
    """exp(-weight (c - min c)) (N, L, L, L), each cube less its own minimum, a few of them at a time."""
    out = torch.empty_like(costs)
    for part, own in in_chunks(out, costs):
        part.copy_(boltzmann(own, own.amin((1, 2, 3)), weight))
    return out


def expectation(
    likelihood: Tensor, step_mm: float, coupling: Tensor | float = 0.0, centre_mm: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (N, 3) in mm, variance (N,) in mm^2 and mass (N,) of the labels under likelihood exp(-b |d - centre|^2).

    Likelihoods are (N, L, L, L), b a number or (N,), centres (N, 3). The exponential is a product of one factor per
    axis: the moments are three small matrix products.
    """
    steps = label_steps(likelihood, step_mm)
    centre = likelihood.new_zeros(len(likelihood), 3) if centre_mm is None else centre_mm
    b = torch.as_tensor(coupling).to(likelihood)[..., None, None]
    energy = b * (steps - centre[..., None]).square()  # (N, 3, L)
    energy = energy - energy.amin(2, keepdim=True).detach()  # one for some label: the sum is not zero
    factor = torch.where(energy < FAINTEST, energy.clamp_max(FAINTEST).neg().exp(), 0.0)
    x, y, z = (torch.stack((f, f * steps, f * steps.square()), 2) for f in factor.unbind(1))  # (N, L, 3): powers
    along_x = torch.cat([part.flatten(1, 2) @ f for part, f in in_chunks(likelihood, x)])
    along_x = along_x.unflatten(1, likelihood.shape[1:3])  # (N, z, y, power of x)
    total = torch.einsum("nzyp,nyq,nzr->npqr", along_x, y, z)
    mass = total[:, 0, 0, 0]
    mean = torch.stack((total[:, 1, 0, 0], total[:, 0, 1, 0], total[:, 0, 0, 1]), 1) / mass[:, None]
    square = torch.stack((total[:, 2, 0, 0], total[:, 0, 2, 0], total[:, 0, 0, 2]), 1) / mass[:, None]
    return mean, (square - mean.square()).sum(1).clamp_min(0), mass


def soft_argmin(energies: Tensor, step_mm: float) -> tuple[Tensor, Tensor]:
    """Mean (N, 3) in mm and variance (N,) in mm^2 of the labels under exp(-energy), of energies (N, L, L, L)."""
    weights = torch.softmax(energies.flatten(1).neg(), 1).reshape(energies.shape)
    return moments(weights, label_steps(energies, step_mm))


def moments(shares: Tensor, labels_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (N, 3) in mm and variance (N,) in mm^2 of labels with shares (N, l, l, l) and places (l,) on each axis.

    The cube is read one axis at a time: its marginals hold all that is needed.
    """
    marginals = [shares.sum(dims) for dims in ((1, 2), (1, 3), (2, 3))]  # of x, y, z
    mean = torch.stack([m @ labels_mm for m in marginals], 1)
    square = torch.stack([m @ labels_mm.square() for m in marginals], 1)
    return mean, (square - mean.square()).sum(1).clamp_min(0)


def confidence(variance_mm2: Tensor, step_mm: float) -> Tensor:
    """Confidence (N,) in (0, 1]: one over one plus the variance in squared label steps."""
    return 1 / (1 + variance_mm2 / step_mm**2)


def costs_at(costs: Tensor, where: Tensor) -> Tensor:
    """Costs (N, m) of cubes (N, L, L, L) at displacements (N, m, 3) in label steps, trilinear; the border goes on."""
    grid = where / (costs.shape[1] // 2)
    return F.grid_sample(costs[:, None], grid[:, None, None], "bilinear", "border", align_corners=True)[:, 0, 0, 0]


def in_chunks(*arrays: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Parts of arrays of as many rows, the first of which says how many are worked on at once."""
    step = rows(arrays[0][0].numel(), arrays[0].device)
    return zip(*(array.split(step) for array in arrays), strict=True)
