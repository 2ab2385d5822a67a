"""Lungs in CT: their mask, what it must hold, signs of trouble, sides, ventilation."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from graphreg.anatomy.base import Anatomy
from graphreg.anatomy.doubts import Sign
from graphreg.anatomy.lung_ct.doubts import SIGNS
from graphreg.anatomy.lung_ct.mask import LungFinder, require_air
from graphreg.anatomy.windows import FixedWindow
from graphreg.core.grid import mask_volume_mm3
from graphreg.core.records import Subject, Volume

AIR_HU = -1024.0  # what CT scanners store where they saw nothing
TISSUE_HU = -300.0  # lung lies below
WINDOW = FixedWindow(low=-1000.0, high=200.0)  # bone tells nothing of the lung
PICTURE_WINDOW = (WINDOW.low, WINDOW.high)


@dataclass(frozen=True, kw_only=True)
class LungCT(Anatomy):
    """Both lungs of a chest CT in HU. Raises InputError where a number is out of range."""

    region: str = "lungs"
    find: LungFinder = LungFinder()
    window: FixedWindow = WINDOW
    picture_window: FixedWindow = WINDOW
    outside: float | None = AIR_HU
    typical_mm: tuple[float, float, float] = (200.0, 140.0, 180.0)  # box around both of a small adult, (x, y, z)

    def check_region(self, volume: Volume, mask: Tensor) -> None:
        """Raise InputError where what should be lung holds no air."""
        require_air(volume, mask, self.find)

    def figures(self, fixed: Subject, moving: Subject) -> Mapping[str, float]:
        """Millilitres, median HU and share of tissue of the lungs in both images."""
        sides = (("fixed", fixed), ("moving", moving))
        return {f"{side}_lung_{name}": value for side, lungs in sides for name, value in _figures(lungs).items()}

    @property
    def signs(self) -> Mapping[str, Sign]:
        """Those of ``lung_ct.doubts``."""
        return SIGNS


def _figures(lungs: Subject) -> dict[str, float]:
    values = lungs.image.within(lungs.mask)
    return {
        "ml": mask_volume_mm3(lungs.mask, lungs.image.grid) / 1000,
        "median_hu": float(values.median()),
        "tissue_percent": 100 * int((values > TISSUE_HU).sum()) / len(values),
    }
