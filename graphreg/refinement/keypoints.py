"""Stage 7: continuous displacements of the keypoints, read from the cubes of costs that are there already.

    E(v) = sum_i c_i C_i(v_i) / sum_i c_i + s mean_ij |v_i - v_j|^2 / |p_i - p_j|^2

over keypoints i with confidence c_i and edges ij of their graph; costs C are linear between labels (Heinrich & Hansen,
2020). No image is looked at again.
"""

from dataclasses import dataclass, replace

from torch import Generator, Tensor

from graphreg.core.cubes import costs_at
from graphreg.core.estimate import Estimate, Trace
from graphreg.core.prepared import PreparedPair
from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.core.settings import Settings, require
from graphreg.refinement.descent import Descent, minimise


@dataclass(frozen=True, kw_only=True)
class KeypointRefinement(Settings):
    """Displacements of the keypoints of the last level between the labels of their cubes."""

    name: str = "keypoints"
    smoothness: float = 0.03  # cost that a difference as large as the distance of two keypoints is worth
    descent: Descent = Descent()

    def check(self) -> None:
        need = "smoothness of displacements must be at least 0"
        require(self.smoothness >= 0, need, self.smoothness)

    def __call__(self, estimate: Estimate, pair: PreparedPair, seed: int) -> tuple[Estimate, Trace]:
        """The estimate with its keypoints moved to where their costs are least, and the trace of the objective."""
        found = estimate.displacements
        objective = CostCubes(estimate.costs, estimate.graph, found, self.smoothness)
        done = minimise(objective, objective.start(), self.descent, seed)
        return estimate.moved_to(replace(found, vectors_mm=done.parameters)), done.trace


class CostCubes:
    """The objective. Parameters: displacements (N, 3) in mm, from those of the regulariser on.

    Raises ValueError where the records are not of the same keypoints.
    """

    def __init__(self, costs: CostVolume, graph: KeypointGraph, found: Displacements, smoothness: float = 0.03):
        if not len(costs.keypoints) == len(graph.keypoints) == len(found.keypoints):
            counts = f"{len(costs.keypoints)}, {len(graph.keypoints)} and {len(found.keypoints)}"
            raise ValueError(f"Costs, graph and displacements of the same keypoints needed, got {counts}")
        self._costs, self._found, self._smoothness = costs, found, smoothness
        source, target = graph.edge_index
        self._ends = source, target
        points_mm = graph.keypoints.points_mm.to(found.vectors_mm)
        self._apart = (points_mm[source] - points_mm[target]).square().sum(1).clamp_min(1e-6)

    def start(self) -> Tensor:
        """The displacements of the regulariser."""
        return self._found.vectors_mm.clone()

    def __call__(self, parameters: Tensor, generator: Generator | None = None) -> Tensor:
        """E for displacements (N, 3); every keypoint always takes part."""
        steps = (parameters / self._costs.step_mm).to(self._costs.costs)
        values = costs_at(self._costs.costs, steps[:, None])[:, 0]
        confidence = self._found.confidence
        source, target = self._ends
        strain = (parameters[source] - parameters[target]).square().sum(1) / self._apart
        return values @ confidence / confidence.sum() + self._smoothness * strain.sum() / max(len(strain), 1)
