"""What can be said of a registration without landmarks: agreement of descriptors, folding, volumes."""

from dataclasses import dataclass

from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.fields import folding_fraction, jacobian_determinant, log_jacobian_sd
from graphreg.core.grid import Grid, box
from graphreg.core.records import DenseField, FeatureVolume
from graphreg.core.resampling import identity, resample_mask


def similarity(fixed: FeatureVolume, moving: FeatureVolume, mask: Tensor) -> float:
    """One minus the mean absolute difference of two descriptor volumes inside a mask (D, H, W); 1 is equal."""
    total = sum(float((f - m).abs()[mask].double().mean()) for f, m in zip(fixed.data, moving.data, strict=True))
    return 1 - total / len(fixed.data)


@dataclass(frozen=True)
class Regularity:
    """How a field changes volumes inside a mask."""

    folding_percent: float
    sdlogj: float  # standard deviation of the logarithm of the Jacobian
    mean_jacobian: float


def regularity(field: DenseField, mask: Tensor, grid: Grid) -> Regularity:
    """Figures of the Jacobian of a field inside a mask (D, H, W) bool on a grid of its own.

    Raises:
        InputError: the mask lies apart from the field.
    """
    inside = resample_mask(mask, grid, field.grid, identity)
    if not bool(inside.any()):
        raise InputError("a mask that overlaps the field is needed, found one apart from it")
    part = box(inside, [1] * 3)  # with the neighbours that central differences take
    around = DenseField(field.grid.part(part), field.displacement_mm[:, *part])
    jacobian, inside = jacobian_determinant(around), inside[part]
    return Regularity(
        folding_percent=100 * folding_fraction(jacobian, inside),
        sdlogj=log_jacobian_sd(jacobian, inside),
        mean_jacobian=float(jacobian[inside].double().mean()),
    )
