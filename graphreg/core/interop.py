"""stub"""

from typing import Any

from torch import Tensor

from graphreg.core.grid import Grid
from graphreg.core.records import Volume


def as_volume(image: Any) -> Volume:
    """stub"""
    return image


def as_mask(image: Any, grid: Grid) -> Tensor:
    """stub"""
    return image
