"""Mean-field inference on the keypoint graph (Krähenbühl & Koltun 2011; Heinrich 2019).

With quadratic edges the mean-field update needs only the neighbours' expected displacements,

    q_i(d) ~ exp(-(a c_i(d) + b |d - m_i|^2)),   m_i = sum_j w_j E_q[d_j] / sum_j w_j,   w_j = 1 / (1 + var_q[d_j]),

over the neighbours j and the keypoint itself. The coupling b may grow from sweep to sweep, so that certain keypoints
speak first.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.core.settings import Settings
from graphreg.regularisers.protocol import confidence
from graphreg.runtime.chunks import rows

FAINTEST = -80.0  # smallest exponent of the data; of the prior, less is nothing


@dataclass(frozen=True, kw_only=True)
class MeanField(Settings):
    """Regulariser. Raises InputError where a number is out of range."""

    data_weight: float = 200.0  # a
    couplings: tuple[float, ...] = (0.1, 0.1, 0.1)  # b per squared mm, one sweep each

    def check(self) -> None:
        if not self.data_weight > 0:
            raise InputError(f"mean_field.data_weight must be positive, got {self.data_weight}")
        if not self.couplings or not all(b >= 0 for b in self.couplings):
            raise InputError(f"mean_field.couplings must be numbers of at least 0, got {self.couplings}")

    def __call__(self, costs: CostVolume, graph: KeypointGraph) -> Displacements:
        """Expected displacement of each keypoint after the last sweep."""
        likelihood = _likelihood(costs.costs, self.data_weight)
        mean, variance = _moments(likelihood, costs.labels)
        for coupling in self.couplings:
            centre = neighbour_mean(mean, 1 / (1 + variance), graph)
            mean, variance = _moments(likelihood, costs.labels, coupling, centre)
        return Displacements(costs.keypoints, mean, confidence(variance, costs.labels))


def neighbour_mean(values: Tensor, certainty: Tensor, graph: KeypointGraph) -> Tensor:
    """Mean (N, 3) of each keypoint's and its neighbours' values, weighted by certainty (N,)."""
    source, target = graph.edge_index
    weighted = values * certainty[:, None]
    total = weighted.index_add(0, target, weighted[source])
    return total / certainty.index_add(0, target, certainty[source])[:, None]


def _likelihood(costs: Tensor, weight: float) -> Tensor:
    """exp(-weight (c - min c)) (N, L, L, L), not below what float32 can still multiply."""
    out = torch.empty_like(costs)
    for part, own in _chunks(out, costs):
        torch.sub(own, own.amin((1, 2, 3), keepdim=True), out=part)
        part.mul_(-weight).clamp_min_(FAINTEST).exp_()
    return out


def _moments(
    likelihood: Tensor, labels: Grid, coupling: float = 0.0, centre_mm: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean (N, 3) in mm and variance (N,) in mm^2 of the labels under likelihood (N, L, L, L) exp(-b |d - centre|^2).

    The exponential is a product of one factor per axis: the moments are three small matrix products.
    """
    radius = labels.shape[0] // 2
    steps = torch.arange(-radius, radius + 1, device=likelihood.device, dtype=likelihood.dtype) * labels.spacing_mm[0]
    centre = likelihood.new_zeros(len(likelihood), 3) if centre_mm is None else centre_mm
    energy = coupling * (steps - centre[..., None]).square()  # (N, 3, L)
    energy -= energy.amin(2, keepdim=True)
    factor = torch.where(energy < -FAINTEST, energy.neg().exp(), 0.0)  # one for some label: the sum is not zero
    x, y, z = (torch.stack((f, f * steps, f * steps.square()), 2) for f in factor.unbind(1))  # (N, L, 3): powers
    along_x = torch.cat([part.flatten(1, 2) @ f for part, f in _chunks(likelihood, x)])
    along_x = along_x.unflatten(1, labels.shape[:2])  # (N, z, y, power of x)
    total = torch.einsum("nzyp,nyq,nzr->npqr", along_x, y, z)
    weight = total[:, 0, 0, 0, None]
    mean = torch.stack((total[:, 1, 0, 0], total[:, 0, 1, 0], total[:, 0, 0, 1]), 1) / weight
    square = torch.stack((total[:, 2, 0, 0], total[:, 0, 2, 0], total[:, 0, 0, 2]), 1) / weight
    return mean, (square - mean.square()).sum(1).clamp_min(0)


def _chunks(*arrays: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Parts of arrays of as many rows, the first of which says how many are worked on at once."""
    step = rows(arrays[0][0].numel(), arrays[0].device)
    return zip(*(array.split(step) for array in arrays), strict=True)
