"""What is known of an organ, and nowhere else: anatomies by their name in TOML."""

from collections.abc import Callable

from graphreg.anatomy.base import Anatomy
from graphreg.anatomy.body import Body
from graphreg.anatomy.lung_ct import LungCT
from graphreg.anatomy.whole import Whole

__all__ = ["ANATOMIES", "UNITS", "Anatomy", "Body", "LungCT", "Whole"]

UNITS = {"hu": "HU"}  # of intensities, at the end of the name of a figure

ANATOMIES: dict[str, Callable[[], Anatomy]] = {"lung-ct": LungCT, "whole": Whole, "body": Body}
