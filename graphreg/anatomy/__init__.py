"""What is known of an organ, and nowhere else: anatomies, and what they consist of, by their names in TOML."""

from collections.abc import Callable

from graphreg.anatomy.base import Anatomy
from graphreg.anatomy.body import Body, BodyFinder
from graphreg.anatomy.lung_ct import LungCT
from graphreg.anatomy.lung_ct.mask import LungFinder
from graphreg.anatomy.whole import Everything, Whole
from graphreg.anatomy.windows import FixedWindow, PercentileWindow
from graphreg.core.protocols import RegionFinder, Window

__all__ = ["ANATOMIES", "FINDERS", "UNITS", "WINDOWS", "Anatomy", "Body", "LungCT", "Whole"]

UNITS = {"hu": "HU"}  # of intensities, at the end of the name of a figure

ANATOMIES: dict[str, Callable[[], Anatomy]] = {"lung-ct": LungCT, "whole": Whole, "body": Body}
FINDERS: dict[str, Callable[[], RegionFinder]] = {"lungs": LungFinder, "body": BodyFinder, "everything": Everything}
WINDOWS: dict[str, Callable[..., Window]] = {"fixed": FixedWindow, "percentiles": PercentileWindow}
