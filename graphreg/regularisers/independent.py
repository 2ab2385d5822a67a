"""No regularisation: every keypoint decides alone. The baseline that shows what the others are worth."""

from dataclasses import dataclass

from graphreg.core.checks import require_numbers
from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.regularisers.protocol import confidence, soft_argmin


@dataclass(frozen=True, kw_only=True)
class Independent:
    """Regulariser that ignores the graph. Raises ValueError where a number is out of range."""

    data_weight: float = 600.0  # of the mean squared descriptor difference in the exponent of the soft minimum

    def __post_init__(self) -> None:
        if not self.data_weight > 0:
            raise ValueError(f"none.data_weight must be positive, got {self.data_weight}")
        require_numbers(self)

    def __call__(self, costs: CostVolume, graph: KeypointGraph) -> Displacements:
        """Displacement of each keypoint by the soft minimum of its own costs."""
        mean, variance = soft_argmin(costs.costs * self.data_weight, costs.labels)
        return Displacements(costs.keypoints, mean, confidence(variance, costs.labels))
