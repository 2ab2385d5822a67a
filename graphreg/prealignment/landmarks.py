"""Stage 0: points that somebody has marked in both images.  Pairs of points -> motion

Least squares of a translation, a rigid motion, a similarity or an affine motion through them, see ``least_squares``.
"""

import math
from dataclasses import dataclass

import torch

from graphreg.core.affine import Affine
from graphreg.core.grid import Triple
from graphreg.core.records import Subject
from graphreg.core.settings import Settings, require
from graphreg.prealignment.least_squares import KINDS, Kind, best


@dataclass(frozen=True, kw_only=True)
class LandmarkAlignment(Settings):
    """Pre-aligner. Raises InputError where the points are no pairs, too few, or on one line or in one plane."""

    fixed_mm: tuple[Triple, ...]  # (x, y, z) LPS
    moving_mm: tuple[Triple, ...]  # the same places in the moving image, in the same order
    motion: Kind = "rigid"

    def check(self) -> None:
        require(self.motion in KINDS, f"landmarks.motion must be one of {', '.join(KINDS)}", self.motion)
        triples = all(len(point) == 3 for point in (*self.fixed_mm, *self.moving_mm))
        require(triples, "landmarks must be (x, y, z) in mm", "points of another length")
        counts = f"{len(self.fixed_mm)} fixed and {len(self.moving_mm)} moving"
        require(len(self.fixed_mm) == len(self.moving_mm), "landmarks must come in pairs", counts)
        coordinates = [c for point in (*self.fixed_mm, *self.moving_mm) for c in point]
        require(all(map(math.isfinite, coordinates)), "landmarks must be finite", "NaN or infinity")
        self._motion()

    def __call__(self, fixed: Subject, moving: Subject, start: Affine) -> Affine:
        """The motion through the points; what was found before does not matter to it."""
        return self._motion()

    def _motion(self) -> Affine:
        fixed, moving = (torch.tensor(points, dtype=torch.float64) for points in (self.fixed_mm, self.moving_mm))
        return best(fixed.reshape(-1, 3), moving.reshape(-1, 3), self.motion)
