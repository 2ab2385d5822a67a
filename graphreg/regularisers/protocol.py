"""Stage 5: what every regulariser is: noisy costs on a graph in, coherent displacements out."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, Displacements, KeypointGraph


class Regulariser(Protocol):
    """Turns the costs of the keypoints into one displacement each, using the graph."""

    def __call__(self, costs: CostVolume, graph: KeypointGraph) -> Displacements: ...


class Prediction(NamedTuple):
    """What a network says of each keypoint: evenly spaced labels, l of the L per axis, have a share of its belief."""

    vectors_mm: Tensor  # (N, 3)
    confidence: Tensor  # (N,) in (0, 1]
    beliefs: Tensor | None = None  # (N, l, l, l), share of each label of every (L - 1) / (l - 1)-th of the cube


def soft_argmin(energies: Tensor, labels: Grid) -> tuple[Tensor, Tensor]:
    """Mean (N, 3) in mm and variance (N,) in mm^2 of the labels under exp(-energy).

    ``energies`` are (N, L, L, L).
    """
    weights = torch.softmax(energies.flatten(1).neg(), 1).reshape(energies.shape)
    radius = labels.shape[0] // 2
    steps = torch.arange(-radius, radius + 1, device=weights.device, dtype=weights.dtype) * labels.spacing_mm[0]
    return moments(weights, steps)


def moments(shares: Tensor, labels_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (N, 3) in mm and variance (N,) in mm^2 of labels with shares (N, l, l, l) and places (l,) on each axis.

    The cube is read one axis at a time: its marginals hold all that is needed.
    """
    marginals = [shares.sum(dims) for dims in ((1, 2), (1, 3), (2, 3))]  # of x, y, z
    mean = torch.stack([m @ labels_mm for m in marginals], 1)
    square = torch.stack([m @ labels_mm.square() for m in marginals], 1)
    return mean, (square - mean.square()).sum(1).clamp_min(0)


def confidence(variance_mm2: Tensor, labels: Grid) -> Tensor:
    """Confidence (N,) in (0, 1]: one over one plus the variance in squared label steps."""
    return 1 / (1 + variance_mm2 / labels.spacing_mm[0] ** 2)
