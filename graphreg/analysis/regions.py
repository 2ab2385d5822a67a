"""What a motion does to the volume of regions of the fixed image, such as the labels of any label map.

A region has the moving volume of the integral of det(dT/dx) over it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from graphreg.core.fields import FLOOR, jacobian_determinant
from graphreg.core.grid import Grid, mask_volume_mm3
from graphreg.core.records import DenseField, Volume
from graphreg.core.resampling import identity, resample


@dataclass(frozen=True)
class Spread:
    """Values of a map in a region, NaN if it has none there."""

    mean: float
    sd: float
    median: float
    known_percent: float  # of the voxels


@dataclass(frozen=True)
class Region:
    """A region of the fixed image and what becomes of it."""

    name: str
    number: int | None  # in the label map
    fixed_ml: float
    moving_ml: float
    maps: dict[str, Spread]  # by the name of the map

    @property
    def change_percent(self) -> float:
        return 100 * (self.moving_ml / self.fixed_ml - 1)

    def row(self) -> dict[str, str | int | float | None]:
        """Everything by the name of a column."""
        spreads = {
            f"{name}_{kind}": value for name, spread in self.maps.items() for kind, value in vars(spread).items()
        }
        volumes = {"fixed_ml": self.fixed_ml, "moving_ml": self.moving_ml, "change_percent": self.change_percent}
        return {"region": self.name, "number": self.number, **volumes, **spreads}


def jacobian_on(field: DenseField, grid: Grid) -> Tensor:
    """det(dT/dx) (D, H, W) of a field, interpolated on another grid."""
    return resample(Volume(field.grid, jacobian_determinant(field)), grid, identity).data


def log_jacobian(jacobian: Tensor) -> Tensor:
    """Natural logarithm of the determinant; folding counts as all but no volume."""
    return jacobian.clamp(min=FLOOR).log()


def label_regions(labels: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Number and mask (D, H, W) of each label in a map (D, H, W) of whole numbers; 0 is none."""
    return ((number, labels == number) for number in labels.unique().tolist() if number)


def measure(
    name: str, number: int | None, region: Tensor, jacobian: Tensor, maps: Mapping[str, Tensor], grid: Grid
) -> Region:
    """Volumes of a region (D, H, W) bool and the values of maps (D, H, W) in it, where they are finite."""
    fixed_ml = mask_volume_mm3(region, grid) / 1000
    moving_ml = fixed_ml * float(jacobian[region].double().mean())
    return Region(name, number, fixed_ml, moving_ml, {key: _spread(values[region]) for key, values in maps.items()})


def _spread(values: Tensor) -> Spread:
    known = values[values.isfinite()].double().cpu().numpy()
    if not known.size:
        return Spread(np.nan, np.nan, np.nan, 0.0)
    known_percent = 100 * known.size / values.numel()
    return Spread(float(known.mean()), float(known.std()), float(np.median(known)), known_percent)
