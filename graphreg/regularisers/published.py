"""GraphRegNet as published (Hansen & Heinrich, IEEE TMI 40(9), 2021): per keypoint an encoder, edges, a decoder.

Two blocks alike. Each takes the label cube of every keypoint to half, a quarter and an eighth of its resolution, lets
neighbours speak on the coarsest by three EdgeConvs (Wang et al. 2019), and brings the answer back to half. The second
block sees the costs again and what the first one made of them; its output are logits of the displacements. Sizes halve
such that label j of a coarse map lies at label 2 j of the finer one; upsampling puts it back there.
"""

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphreg.core.cubes import moments
from graphreg.core.errors import InputError
from graphreg.core.filters import correlate, gaussian_kernel
from graphreg.core.lattice import linear
from graphreg.regularisers.edge_conv import EdgeConv
from graphreg.regularisers.prediction import Prediction
from graphreg.runtime.chunks import rows

COST_SCALE = 10.0  # brings mean squared descriptor differences near one
SLOPE = 0.01  # of every LeakyReLU
SMALLEST = 9  # labels per axis: fewer leave the coarsest map one label, of which there is no variance


class PublishedNet(nn.Module):
    """Costs of N keypoints and their graph to a distribution over every other label of the cube."""

    def __init__(self, base: int = 4, coordinates: bool = True):
        """``base`` channels after the first convolution; without ``coordinates`` the EdgeConvs see zeros instead."""
        super().__init__()
        self.coordinates = coordinates
        self.first = Block(2, base)
        self.second = Block(4, base)

    def forward(
        self, costs: Tensor, points_mm: Tensor, edge_index: Tensor, step_mm: float, beliefs: bool = True
    ) -> Prediction:
        """Costs (N, L, L, L), L odd, labels ``step_mm`` apart; points (N, 3); edges (2, E) neighbour -> centre.

        The beliefs are at hand whether asked for or not. Raises InputError where L is even or below 9.
        """
        size = costs.shape[-1]
        if size % 2 == 0 or size < SMALLEST:
            raise InputError(f"The cube must hold an odd number of at least {SMALLEST} labels per axis, got {size}")
        place = scaled(points_mm) if self.coordinates else torch.zeros_like(points_mm)
        itself = torch.arange(len(costs), device=costs.device)
        edges = torch.cat((edge_index, itself.expand(2, -1)), 1)  # the published neighbourhood holds the point
        step = rows(size**3, costs.device)
        parts = costs.split(step)
        guess = self.first(map(with_smoothed, parts), place, edges)
        both = zip(parts, guess.split(step), strict=True)
        logits = self.second((torch.cat((with_smoothed(c), enlarged(g, size)), 1) for c, g in both), place, edges)
        return _read(logits[:, 0], step_mm)


class Block(nn.Module):
    """Encoder, EdgeConvs and decoder: label cubes of some channels to one channel at half the resolution."""

    def __init__(self, inputs: int, base: int):
        super().__init__()
        fine, middle, coarse = base, 2 * base, 4 * base
        self.down = nn.ModuleList(_conv(a, b, stride=2) for a, b in pairwise((inputs, fine, middle, coarse)))
        self.edges = nn.ModuleList(_edge_conv(n * coarse + 3, coarse) for n in (1, 2, 3))
        self.middle = nn.ModuleList((_conv(coarse, middle), _conv(2 * middle, middle)))
        self.fine = nn.ModuleList((_conv(middle, fine), _conv(2 * fine, fine)))
        self.last = nn.Conv3d(fine, 1, 3, padding=1)

    def forward(self, parts: Iterable[Tensor], place: Tensor, edge_index: Tensor) -> Tensor:
        """Maps (N, 1, l, l, l), l = (L + 1) / 2, of inputs (n, inputs, L, L, L) that come in parts of the keypoints.

        The parts bound the memory: only the graph needs all keypoints at once.
        """
        maps = [self.encode(part) for part in parts]
        coarsest = torch.cat([coarse for _, _, coarse in maps])
        spoken = self.speak(coarsest, place, edge_index).split([len(fine) for fine, _, _ in maps])
        return torch.cat([self.decode(s, middle, fine) for s, (fine, middle, _) in zip(spoken, maps, strict=True)])

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (n, base, l, l, l), (n, 2 base, ...), (n, 4 base, ...) of half, a quarter, an eighth of the labels."""
        first, second, third = self.down
        fine = _activated(first(x))
        middle = _activated(second(fine))
        return fine, middle, _activated(third(middle))

    def speak(self, coarse: Tensor, place: Tensor, edge_index: Tensor) -> Tensor:
        """The coarsest maps (N, 4 base, l, l, l) after three rounds between neighbours, at each label apart."""
        labels = coarse.flatten(2).transpose(1, 2)  # (N, l^3, 4 base)
        seen = [labels, place.to(labels)[:, None].expand(-1, labels.shape[1], -1)]
        for conv in self.edges:
            seen.append(conv(torch.cat(seen, 2), edge_index))
        return seen[-1].transpose(1, 2).reshape(coarse.shape)

    def decode(self, x: Tensor, middle: Tensor, fine: Tensor) -> Tensor:
        """One channel (n, 1, l, l, l) at half the resolution."""
        for (merge, join), skip in ((self.middle, middle), (self.fine, fine)):
            x = _activated(merge(resampled(x, _upsampling(x.shape[-1], skip.shape[-1]))))
            x = _activated(join(torch.cat((x, skip), 1)))
        return self.last(x)


def scaled(points_mm: Tensor) -> Tensor:
    """Points (N, 3) about their mean, in halves of their largest extent."""
    extent = (points_mm.amax(0) - points_mm.amin(0)).amax()
    return (points_mm - points_mm.mean(0)) / (extent / 2).clamp_min(1.0)  # of one point there is none


def with_smoothed(costs: Tensor) -> Tensor:
    """Costs (n, L, L, L) as two channels (n, 2, L, L, L), the second smoothed over the labels."""
    own = COST_SCALE * costs[:, None]
    return torch.cat((own, resampled(own, _smoothing(costs.shape[-1]))), 1)


def enlarged(x: Tensor, size: int) -> Tensor:
    """A map (n, 1, l, l, l) at the resolution of the costs, and smoothed there: (n, 2, L, L, L)."""
    up = _upsampling(x.shape[-1], size)
    return torch.cat((resampled(x, up), resampled(x, _smoothing(size) @ up)), 1)


def resampled(x: Tensor, matrix: Tensor) -> Tensor:
    """Values (n, c, l, l, l) to (n, c, m, m, m) by the same matrix (m, l) along each of the three axes."""
    matrix = matrix.to(x)
    n, channels, size = x.shape[:3]
    x = (x.reshape(-1, size) @ matrix.T).reshape(-1, size, len(matrix))
    x = torch.bmm(matrix.expand(len(x), -1, -1), x).reshape(n * channels, size, -1)
    return torch.bmm(matrix.expand(len(x), -1, -1), x).reshape(n, channels, *[len(matrix)] * 3)


def _upsampling(coarse: int, fine: int) -> Tensor:
    """Linear interpolation (fine, coarse) at half steps, float64; beyond the last sample its value goes on."""
    return linear(coarse, torch.arange(fine, dtype=torch.float64) / 2)


def _smoothing(size: int) -> Tensor:
    """Gaussian (size, size) with a standard deviation of one label, float64."""
    return correlate(torch.eye(size, dtype=torch.float64)[None], gaussian_kernel(1.0), -2)[0]


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 3, stride, padding=1, bias=False)


def _edge_conv(inputs: int, outputs: int) -> EdgeConv:
    return EdgeConv(inputs, outputs, _activated_edges, bias=False)  # type: ignore[abstract]  # it marks what few need


def _activated(x: Tensor) -> Tensor:
    """Each channel of each keypoint brought to mean 0 and variance 1, then a LeakyReLU."""
    return F.leaky_relu(F.instance_norm(x), SLOPE, inplace=True)


def _activated_edges(x: Tensor) -> Tensor:
    """Messages (E, labels, channels), each channel brought to mean 0 and variance 1 over all, then a LeakyReLU."""
    flat = F.batch_norm(x.flatten(0, 1), None, None, training=True)  # instance normalisation of one cloud of points
    return F.leaky_relu(flat, SLOPE, inplace=True).reshape(x.shape)


def _read(logits: Tensor, step_mm: float) -> Prediction:
    """Prediction from logits (N, l, l, l) of labels two steps apart, symmetric about zero."""
    beliefs = torch.softmax(logits.flatten(1), 1).reshape(logits.shape)
    size = logits.shape[-1]
    labels_mm = 2 * step_mm * (torch.arange(size, device=logits.device, dtype=logits.dtype) - (size - 1) / 2)
    mean, variance = moments(beliefs, labels_mm)
    return Prediction(mean, 1 / (1 + variance / step_mm**2), beliefs)
