"""What is known of a motion, from level to level and from one refinement to the next."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from graphreg.core.fields import compose
from graphreg.core.grid import Grid
from graphreg.core.inversion import pull_back
from graphreg.core.records import CostVolume, DenseField, Displacements, KeypointGraph, Motion

Trace = tuple[float, ...]  # of an objective, from the start on
STEPS = 30  # of the search for what keypoints do in a motion


@dataclass(frozen=True, eq=False)
class Estimate:
    """The motion after a level, and what that level has seen; motion(x) = start(x + v(x)), v spread from keypoints."""

    start: Motion  # that the level began with
    motion: DenseField  # fixed -> moving
    displacements: Displacements  # of the keypoints beyond start
    costs: CostVolume  # seen through start
    graph: KeypointGraph
    spread: Callable[[Displacements, Grid], DenseField]  # the interpolator of the level
    of_keypoints: bool = True  # whether the motion is that of the keypoints alone

    def moved_to(self, displacements: Displacements) -> Self:
        """The estimate with other displacements of its keypoints; what else is in the motion is kept."""
        grid, now = self.motion.grid, self.displacements
        if self.of_keypoints:
            motion = compose(self.start, self.spread(displacements, grid))
        else:
            change = replace(displacements, vectors_mm=displacements.vectors_mm - now.vectors_mm)
            motion = compose(self.motion, self.spread(change, grid))
        return replace(self, motion=motion, displacements=displacements)

    def composed_with(self, more: DenseField) -> Self:
        """The estimate with a further motion applied first; its keypoints do what the whole motion does there."""
        motion = compose(self.motion, more)
        points_mm = self.displacements.keypoints.points_mm
        there_mm = points_mm + self.displacements.vectors_mm
        vectors_mm = pull_back(self.start, motion(points_mm), there_mm, STEPS) - points_mm
        moved = replace(self.displacements, vectors_mm=vectors_mm)
        return replace(self, motion=motion, displacements=moved, of_keypoints=False)
