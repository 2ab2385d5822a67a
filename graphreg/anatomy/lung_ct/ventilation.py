"""Regional ventilation of two breathing states, as maps on the lungs of the fixed image.

Always (inhale - exhale) / exhale of a piece of tissue, so that positive means that air came in, whichever of the two
images is fixed. With r the volume of the piece at inhale over that at exhale:

    jac         r - 1, from det(dT/dx): change over the volume of the piece. Reinhardt (2008)
    hu          change over the volume of its air, from HU at both ends and no loss of mass. Simon (2000), Fuld (2008)
    hu_mass     the same, once inhale density is corrected for the change of mass of the lungs
    sacj        change over the volume of its air, from r and the share of air in HU. Ding (2012)
    integrated  jac of blocks, scaled to the volumes of both masks. After Castillo (2019)

With conserved mass, hu = sacj = jac / (share of air at exhale).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.analysis.regions import jacobian_on
from graphreg.core.errors import InputError
from graphreg.core.filters import gaussian
from graphreg.core.grid import Grid, box, mask_volume_mm3
from graphreg.core.records import DenseField, ImagePair, Volume
from graphreg.core.resampling import Region, resample, resample_mask
from graphreg.core.settings import Settings

MAPS = ("jac", "hu", "hu_mass", "sacj", "integrated")


@dataclass(frozen=True, kw_only=True)
class VentilationConfig(Settings):
    smoothing_mm: float = 4.0  # standard deviation, of Jacobian and HU within the lungs; 0 for none
    block_mm: float = 15.0  # edge of the blocks of the integrated form
    air_hu: tuple[float, float] = (-1000.0, -250.0)  # HU from which air is told, the lower end excluded

    def check(self) -> None:
        if not 0 <= self.smoothing_mm < math.inf:
            raise InputError(f"Smoothing must be a length in mm, not negative, got {self.smoothing_mm}")
        if not 0 < self.block_mm < math.inf:
            raise InputError(f"Blocks must have a positive edge in mm, got {self.block_mm}")
        if not -1000 <= self.air_hu[0] < self.air_hu[1] < 0:
            raise InputError(f"The range of air must lie within -1000 and 0 HU, got {self.air_hu}")


@dataclass(frozen=True)
class VolumeConsistency:
    """Whether a motion changes the volume of the lungs as much as their masks do."""

    mean_jacobian: float
    volume_ratio: float  # moving over fixed mask
    difference_percent: float  # of the mean Jacobian from the ratio


def volume_consistency(mean_jacobian: float, volume_ratio: float) -> VolumeConsistency:
    """The mean determinant in the fixed mask against the ratio of mask volumes, which it should be."""
    return VolumeConsistency(mean_jacobian, volume_ratio, 100 * (mean_jacobian / volume_ratio - 1))


def ventilation(
    pair: ImagePair, field: DenseField, fixed_is_inhale: bool, config: VentilationConfig = VentilationConfig()
) -> dict[str, Tensor]:
    """Maps (D, H, W) by the names in MAPS, NaN outside the fixed lungs; those of HU also where they show no air.

    Raises:
        InputError: the field folds in the lungs, or one breath doubles their mass.
        ValueError: a mask is missing.
    """
    fixed_mask, moving_mask = _both(pair)
    part = box(fixed_mask, (1, 1, 1))  # with a margin, for filters repeat the border
    grid, lungs = pair.fixed.grid.part(part), fixed_mask[part]
    jacobian = jacobian_on(field, grid)
    require_unfolded(jacobian[lungs])
    ratio = breath_ratio(smooth_within(jacobian, lungs, grid, config.smoothing_mm), fixed_is_inhale)
    inhale, exhale, air = _same_tissue(pair, field, part, fixed_is_inhale, config)
    masses_g = [lung_mass_g(pair.fixed, fixed_mask, config), lung_mass_g(pair.moving, moving_mask, config)]
    corrected = mass_corrected(inhale, *(masses_g if fixed_is_inhale else masses_g[::-1]))
    volume_ratio = mask_volume_mm3(moving_mask, pair.moving.grid) / mask_volume_mm3(fixed_mask, pair.fixed.grid)
    blocks = block_labels(lungs, grid, config.block_mm)
    maps = {
        "jac": (ratio - 1, lungs),
        "hu": (hu_ventilation(inhale, exhale), air),
        "hu_mass": (hu_ventilation(corrected, exhale), air & (corrected > config.air_hu[0])),
        "sacj": (air_ratio(ratio, inhale, exhale) - 1, air),
        "integrated": (integrated(jacobian, blocks, volume_ratio, fixed_is_inhale), lungs),
    }
    return {name: _placed(values, where, fixed_mask.shape, part) for name, (values, where) in maps.items()}


def breath_ratio(jacobian: Tensor, fixed_is_inhale: bool) -> Tensor:
    """Volume at inhale over that at exhale, from moving over fixed; any shape."""
    return 1 / jacobian if fixed_is_inhale else jacobian


def hu_ventilation(inhale_hu: Tensor, exhale_hu: Tensor) -> Tensor:
    """1000 (HU_in - HU_ex) / (HU_ex (HU_in + 1000)): air that came in over air at exhale. Simon (2000)."""
    return 1000 * (inhale_hu - exhale_hu) / (exhale_hu * (inhale_hu + 1000))


def mass_corrected(inhale_hu: Tensor, inhale_g: float, exhale_g: float) -> Tensor:
    """HU_in - 1000 f (1 + HU_in / 1000) with f = (M_in - M_ex) / M_ex: inhale without the blood it brought."""
    change = (inhale_g - exhale_g) / exhale_g if exhale_g else math.inf
    if not change < 1:
        raise InputError(
            f"less than twice the mass of the exhale lungs needed at inhale, found {inhale_g:.4g} against "
            f"{exhale_g:.4g} g of lung tissue"
        )
    return inhale_hu - change * (1000 + inhale_hu)


def air_ratio(ratio: Tensor, inhale_hu: Tensor, exhale_hu: Tensor) -> Tensor:
    """r f_in / f_ex with the share of air f = -HU / 1000: air at inhale over air at exhale. Ding (2012)."""
    return ratio * inhale_hu / exhale_hu


def integrated(jacobian: Tensor, regions: Tensor, volume_ratio: float, fixed_is_inhale: bool) -> Tensor:
    """r - 1 (D, H, W) of whole regions, from the integral of the determinant (D, H, W) over each. Castillo (2019).

    Regions (D, H, W) are numbered from 1, 0 is outside. The determinant is scaled to a mean of volume_ratio, moving
    over fixed lungs, so that the regions of both breathing states add up to the masks.
    """
    numbers = regions.flatten()
    sums = torch.bincount(numbers, weights=jacobian.flatten().double())
    counts = torch.bincount(numbers)
    scale = volume_ratio * counts[1:].sum() / sums[1:].sum()
    return (breath_ratio(scale * sums / counts, fixed_is_inhale) - 1)[regions].to(jacobian)


def block_labels(mask: Tensor, grid: Grid, block_mm: float) -> Tensor:
    """Cubes along the axes of the grid, numbered from 1 (D, H, W), 0 outside the mask."""
    steps = [
        (torch.arange(n) * s / block_mm).long() for n, s in zip(grid.shape, reversed(grid.spacing_mm), strict=True)
    ]
    z, y, x = (step.to(mask.device) for step in steps)
    numbers = (z[:, None, None] * (y[-1] + 1) + y[:, None]) * (x[-1] + 1) + x
    return torch.where(mask, numbers + 1, 0)


def smooth_within(data: Tensor, mask: Tensor, grid: Grid, sigma_mm: float) -> Tensor:
    """Gaussian mean (D, H, W) over the voxels of a mask alone (normalised convolution), 0 outside."""
    sigma = [sigma_mm / s for s in reversed(grid.spacing_mm)]
    weight = mask.to(data)
    return torch.where(mask, gaussian(data * weight, sigma) / gaussian(weight, sigma), 0)


def lung_mass_g(volume: Volume, mask: Tensor, config: VentilationConfig = VentilationConfig()) -> float:
    """Mass of the tissue between the air of a mask (D, H, W): 1 g/ml at 0 HU, nothing at -1000 HU."""
    low, high = config.air_hu
    hu = volume.within(mask)
    x, y, z = volume.grid.spacing_mm
    return float((hu[(hu > low) & (hu <= high)].double() + 1000).sum()) * x * y * z / 1e6


def require_unfolded(jacobian: Tensor) -> None:
    """Raise InputError where a determinant is not positive."""
    folded = (jacobian <= 0).double().mean().item()
    if folded:
        raise InputError(
            f"a motion that does not fold in the lungs needed, found a Jacobian <= 0 in {100 * folded:.2g} % of them"
        )


def _both(pair: ImagePair) -> tuple[Tensor, Tensor]:
    if pair.fixed_mask is None or pair.moving_mask is None:
        raise ValueError("Ventilation needs both lung masks, got None")
    return pair.fixed_mask, pair.moving_mask


def _same_tissue(
    pair: ImagePair, field: DenseField, part: Region, fixed_is_inhale: bool, config: VentilationConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """HU at inhale and at exhale in a part of the fixed image, and where both are lung that holds air."""
    fixed_mask, moving_mask = _both(pair)
    grid = pair.fixed.grid.part(part)
    both = fixed_mask[part] & resample_mask(moving_mask, pair.moving.grid, grid, field)
    images = pair.fixed.data[part], resample(pair.moving, grid, field).data
    fixed, moving = (smooth_within(image, both, grid, config.smoothing_mm) for image in images)
    low, high = config.air_hu
    air = both & (torch.minimum(fixed, moving) > low) & (torch.maximum(fixed, moving) <= high)
    return (fixed, moving, air) if fixed_is_inhale else (moving, fixed, air)


def _placed(values: Tensor, where: Tensor, shape: torch.Size, part: Region) -> Tensor:
    """A map on the whole grid (D, H, W), NaN elsewhere."""
    out = values.new_full(shape, torch.nan)
    out[part] = values.masked_fill(~where, torch.nan)
    return out
