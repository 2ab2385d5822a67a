"""Mean-field inference on the keypoint graph (Krähenbühl & Koltun 2011; Heinrich 2019).

With quadratic edges the mean-field update needs only the neighbours' expected displacements,

    q_i(d) ~ exp(-(a c_i(d) + b |d - m_i|^2)),   m_i = sum_j w_j E_q[d_j] / sum_j w_j,   w_j = 1 / (1 + var_q[d_j]),

over the neighbours j and the keypoint itself. The coupling b may grow from sweep to sweep, so that certain keypoints
speak first.
"""

from dataclasses import dataclass

from torch import Tensor

from graphreg.core.cubes import confidence, expectation, likelihood
from graphreg.core.errors import InputError
from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.core.settings import Settings


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
        weights, step_mm = likelihood(costs.costs, self.data_weight), costs.step_mm
        mean, variance, _ = expectation(weights, step_mm)
        for coupling in self.couplings:
            centre = neighbour_mean(mean, 1 / (1 + variance), graph)
            mean, variance, _ = expectation(weights, step_mm, coupling, centre)
        return Displacements(costs.keypoints, mean, confidence(variance, step_mm))


def neighbour_mean(values: Tensor, certainty: Tensor, graph: KeypointGraph) -> Tensor:
    """Mean (N, 3) of each keypoint's and its neighbours' values, weighted by certainty (N,)."""
    source, target = graph.edge_index
    weighted = values * certainty[:, None]
    total = weighted.index_add(0, target, weighted[source])
    return total / certainty.index_add(0, target, certainty[source])[:, None]
