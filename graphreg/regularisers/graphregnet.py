"""GraphRegNet: a graph network that was trained to turn noisy costs into coherent displacements.

Hansen & Heinrich, IEEE TMI 40(9), 2021. The networks themselves are ``unrolled`` (ours) and ``published`` (theirs);
which one runs is written in the weights.
"""

from dataclasses import dataclass

from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.regularisers.weights_file import SHIPPED, locate, read_weights


@dataclass(frozen=True, kw_only=True)
class GraphRegNet:
    """Regulariser. Raises ValueError where the weights are neither shipped nor a sound file."""

    weights: str = "fine"  # name of shipped weights, or path of a file that ``graphreg train`` wrote

    def __post_init__(self) -> None:
        path = locate(self.weights)
        if self.weights not in SHIPPED:  # what ships is sound: reading it here would slow every import
            read_weights(path)

    def __call__(self, costs: CostVolume, graph: KeypointGraph) -> Displacements:
        """Displacement and confidence of each keypoint as the network sees them.

        Raises:
            ValueError: the cube of labels is one that the network cannot read.
        """
        from graphreg.regularisers.networks import load  # takes seconds: torch-geometric

        network = load(self.weights, costs.costs.device)
        points_mm = costs.keypoints.points_mm.to(costs.costs)
        seen = network(costs.costs, points_mm, graph.edge_index, costs.step_mm)
        return Displacements(costs.keypoints, seen.vectors_mm, seen.confidence)
