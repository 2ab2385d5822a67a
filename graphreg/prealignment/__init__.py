"""Stage 0: where the search starts from, each way by its name in TOML; ``config`` puts block matching together."""

from collections.abc import Callable

from graphreg.core.protocols import Prealigner
from graphreg.prealignment.centres import Centres
from graphreg.prealignment.landmarks import LandmarkAlignment
from graphreg.prealignment.masks import MaskAlignment
from graphreg.prealignment.none import Unmoved

__all__ = ["PREALIGNMENTS", "Centres", "LandmarkAlignment", "MaskAlignment", "Unmoved"]

PREALIGNMENTS: dict[str, Callable[..., Prealigner]] = {
    "masks": MaskAlignment,
    "centres": Centres,
    "landmarks": LandmarkAlignment,  # which needs its points
    "none": Unmoved,
}
