"""Stage 0: centre upon centre, whatever the scanners called their origins.  Two regions -> translation

With p and q the centroids of the fixed and of the moving region and A the linear part of the motion so far,

    y = A (x - p) + q:

the turning and scaling that was found before stays, its translation is replaced. From the identity it is x + q - p.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.core.affine import Affine
from graphreg.core.grid import EXACT
from graphreg.core.records import Subject
from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Centres(Settings):
    """Pre-aligner that moves the centroid of the fixed region onto that of the moving one."""

    def __call__(self, fixed: Subject, moving: Subject, start: Affine) -> Affine:
        """The start with another translation."""
        centre_mm, target_mm = (centroid_mm(subject) for subject in (fixed, moving))
        return Affine(start.matrix, target_mm - start.matrix @ centre_mm)


def centroid_mm(subject: Subject) -> Tensor:
    """Mean position (3,) of the voxels of the region, float64: their counts along each axis suffice."""
    counts = [subject.mask.sum([a for a in range(3) if a != axis]).to(EXACT) for axis in range(3)]
    index = torch.stack([(n * torch.arange(len(n))).sum() / n.sum() for n in counts])
    return subject.image.grid.to_mm(index)
