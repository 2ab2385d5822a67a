"""What an anatomy is: all that is known of what the images show, as one record.

The engine asks it and knows nothing by itself. An anatomy of one's own derives from ``Anatomy``, sets the fields and
overrides what is otherwise there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from graphreg.anatomy.doubts import Doubt, Sign, collect, no_better, not_seen
from graphreg.anatomy.windows import PercentileWindow
from graphreg.core.figures import Quality
from graphreg.core.protocols import RegionFinder, Window
from graphreg.core.records import Subject, Volume
from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Anatomy(Settings):
    """One anatomy. Raises InputError where a number is out of range."""

    region: str  # what the region is called in messages, in the plural where it is one
    find: RegionFinder  # the region of an image that comes without a mask
    window: Window  # of intensities that are worked with
    picture_window: Window  # from black to white
    outside: float | None  # what a warped image holds beyond the moving one; None: its own smallest value
    typical_mm: tuple[float, float, float]  # size (x, y, z) of the smallest region of a patient who is registered

    def check_region(self, volume: Volume, mask: Tensor) -> None:
        """Raise InputError where the image cannot show this anatomy in its mask (D, H, W) bool."""

    def figures(self, fixed: Subject, moving: Subject) -> Mapping[str, float]:
        """What this anatomy adds to the figures of a registration, by name, the unit at its end."""
        return {}

    @property
    def signs(self) -> Mapping[str, Sign]:
        """Signs of trouble by name: each tells its reason from the quality of a registration, or nothing."""
        return {"not seen": not_seen(self.region), "no better": no_better}

    def doubts(self, quality: Quality) -> tuple[Doubt, ...]:
        """What speaks against a result; empty where nothing does."""
        return collect(self.signs, quality)

    def value_outside(self, volume: Volume) -> float:
        """What a warped image holds beyond the moving one."""
        return float(volume.data.min()) if self.outside is None else self.outside


@dataclass(frozen=True, kw_only=True)
class AnyUnits(Anatomy):
    """What anatomies have in common that know nothing of the intensities of an image."""

    window: Window = PercentileWindow()
    picture_window: Window = PercentileWindow()
    outside: float | None = None
    typical_mm: tuple[float, float, float] = (30.0, 30.0, 30.0)
