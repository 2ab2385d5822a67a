"""Cubes of labels, open to gradients: what they weigh, where their mean lies, what they hold around a displacement."""

import torch
import torch.nn.functional as F
from torch import Tensor

FAINTEST = 80.0  # largest exponent: less than exp(-80) is nothing


def boltzmann(costs: Tensor, least: Tensor, weight: Tensor) -> Tensor:
    """exp(-weight (costs - least)) (N, L, L, L), both (N,), not below what float32 can still multiply."""
    energy = (costs - least[:, None, None, None]) * -weight[:, None, None, None]
    return energy.clamp_min(-FAINTEST).exp()


def label_steps(costs: Tensor, step_mm: float) -> Tensor:
    """Displacements (L,) in mm of the labels along an axis of the costs (N, L, L, L)."""
    size = costs.shape[1]
    return (torch.arange(size, device=costs.device, dtype=costs.dtype) - size // 2) * step_mm


def expectation(
    likelihood: Tensor, step_mm: float, coupling: Tensor, centre_mm: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (N, 3) in mm, variance (N,) in mm^2 and mass (N,) of likelihood (N, L, L, L) exp(-b |d - centre|^2).

    As in ``mean_field``, with a coupling b (N,) of each keypoint, and open to gradients.
    """
    steps = label_steps(likelihood, step_mm)
    energy = coupling[:, None, None] * (steps - centre_mm[..., None]).square()  # (N, 3, L)
    energy = energy - energy.amin(2, keepdim=True).detach()
    factor = (-energy).clamp_min(-FAINTEST).exp()
    x, y, z = (torch.stack((f, f * steps, f * steps.square()), 2) for f in factor.unbind(1))  # (N, L, 3): powers
    along_x = (likelihood.flatten(1, 2) @ x).unflatten(1, likelihood.shape[1:3])
    total = torch.einsum("nzyp,nyq,nzr->npqr", along_x, y, z)
    weight = total[:, 0, 0, 0, None]
    mean = torch.stack((total[:, 1, 0, 0], total[:, 0, 1, 0], total[:, 0, 0, 1]), 1) / weight
    square = torch.stack((total[:, 2, 0, 0], total[:, 0, 2, 0], total[:, 0, 0, 2]), 1) / weight
    return mean, (square - mean.square()).clamp_min(0).sum(1), total[:, 0, 0, 0]


def look_up(costs: Tensor, where: Tensor) -> Tensor:
    """Costs (N, 27) around displacements (N, 3) in label steps, a step apart along each axis."""
    radius = costs.shape[1] // 2
    axis = torch.arange(-1.0, 2.0, device=costs.device, dtype=costs.dtype)
    around = torch.cartesian_prod(axis, axis, axis)
    grid = (where[:, None] + around) / radius
    values = F.grid_sample(costs[:, None], grid[:, None, None], "bilinear", "border", align_corners=True)
    return values[:, 0, 0, 0]
