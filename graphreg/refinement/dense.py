"""Stage 7: the whole motion, by what the features of both images still show of a difference."""

from dataclasses import dataclass

from graphreg.core.estimate import Estimate, Trace
from graphreg.core.prepared import PreparedPair
from graphreg.core.protocols import Features
from graphreg.core.settings import Settings, require
from graphreg.refinement.descent import Descent, minimise
from graphreg.refinement.feature_difference import Comparison, FeatureDifference


@dataclass(frozen=True, kw_only=True)
class DenseRefinement(Settings):
    """Features of both images compared all over the region. Raises InputError where a number is out of range."""

    name: str = "dense"
    features: Features
    moving_features: Features | None = None  # where the moving image is of another kind
    spacing_mm: float = 1.0  # of the features
    comparison: Comparison = Comparison()
    descent: Descent = Descent()

    def check(self) -> None:
        require(self.spacing_mm > 0, f"{self.name}.spacing_mm must be positive", self.spacing_mm)

    def __call__(self, estimate: Estimate, pair: PreparedPair, seed: int) -> tuple[Estimate, Trace]:
        """The motion composed with what the images still show in the region, and the trace of the objective."""
        grid, motion = pair.working_grid(self.spacing_mm), estimate.motion
        region = pair.fixed_region(grid)
        fixed = self.features(pair.fixed_on(grid, self.spacing_mm), region)
        describe = self.moving_features or self.features
        moving = describe(pair.moving_on(grid, self.spacing_mm, motion), pair.moving_region(grid, motion))
        objective = FeatureDifference(fixed, moving, region, self.comparison)
        done = minimise(objective, objective.start(), self.descent, seed)
        return estimate.composed_with(objective.field(done.parameters, pair.field_grid)), done.trace
