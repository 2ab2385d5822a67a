"""Mean-field inference on the keypoint graph (Krähenbühl & Koltun 2011; Heinrich 2019).

With quadratic edges the mean-field update needs only the neighbours' expected displacements,

    q_i(d) ~ exp(-(a c_i(d) + b |d - m_i|^2)),   m_i = sum_j w_j E_q[d_j] / sum_j w_j,   w_j = 1 / (1 + var_q[d_j]),

over the neighbours j and the keypoint itself. The coupling b may grow from sweep to sweep, so that certain keypoints
speak first.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.records import CostVolume, Displacements, KeypointGraph
from graphreg.regularisers.protocol import confidence, soft_argmin


@dataclass(frozen=True, kw_only=True)
class MeanField:
    """Regulariser. Raises ValueError where a number is out of range."""

    data_weight: float = 200.0  # a
    couplings: tuple[float, ...] = (0.1, 0.1, 0.1)  # b per squared mm, one sweep each

    def __post_init__(self) -> None:
        if not self.data_weight > 0:
            raise ValueError(f"mean_field.data_weight must be positive, got {self.data_weight}")
        if not self.couplings or not all(b >= 0 for b in self.couplings):
            raise ValueError(f"mean_field.couplings must be numbers of at least 0, got {self.couplings}")

    def __call__(self, costs: CostVolume, graph: KeypointGraph) -> Displacements:
        """Expected displacement of each keypoint after the last sweep."""
        data = costs.costs * self.data_weight
        mean, variance = soft_argmin(data, costs.labels)
        for coupling in self.couplings:
            centre = neighbour_mean(mean, 1 / (1 + variance), graph)
            energies = data + coupling * _squared_distance(centre, costs)
            mean, variance = soft_argmin(energies, costs.labels)
        return Displacements(costs.keypoints, mean, confidence(variance, costs.labels))


def neighbour_mean(values: Tensor, certainty: Tensor, graph: KeypointGraph) -> Tensor:
    """Mean (N, 3) of each keypoint's and its neighbours' values, weighted by certainty (N,)."""
    source, target = graph.edge_index
    weighted = values * certainty[:, None]
    total = weighted.index_add(0, target, weighted[source])
    return total / certainty.index_add(0, target, certainty[source])[:, None]


def _squared_distance(centre: Tensor, costs: CostVolume) -> Tensor:
    """|d - centre|^2 (N, L, L, L) in mm^2, summed axis by axis."""
    radius = costs.labels.shape[0] // 2
    steps = torch.arange(-radius, radius + 1, device=centre.device, dtype=centre.dtype) * costs.labels.spacing_mm[0]
    x, y, z = ((steps - centre[:, None, axis]).square() for axis in range(3))
    return z[:, :, None, None] + y[:, None, :, None] + x[:, None, None, :]
