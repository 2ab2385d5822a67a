"""No regularisation: every keypoint decides alone. The baseline that shows what the others are worth."""

from dataclasses import dataclass

from graphreg.core.cubes import confidence, soft_argmin
from graphreg.core.errors import InputError
from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Independent(Settings):
    """Regulariser that ignores the graph. Raises InputError where a number is out of range."""

    data_weight: float = 600.0  # of the mean squared descriptor difference in the exponent of the soft minimum

    def check(self) -> None:
        if not self.data_weight > 0:
            raise InputError(f"none.data_weight must be positive, got {self.data_weight}")

    def __call__(self, costs: CostVolume, graph: KeypointGraph) -> Displacements:
        """Displacement of each keypoint by the soft minimum of its own costs."""
        mean, variance = soft_argmin(costs.costs * self.data_weight, costs.step_mm)
        return Displacements(costs.keypoints, mean, confidence(variance, costs.step_mm))
