"""Stage 0: no pre-alignment, for images that lie in one frame already."""

from dataclasses import dataclass

from graphreg.core.affine import Affine
from graphreg.core.records import Subject
from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Unmoved(Settings):
    """Pre-aligner that leaves everything where it is."""

    def __call__(self, fixed: Subject, moving: Subject, start: Affine) -> Affine:
        """The start."""
        return start
