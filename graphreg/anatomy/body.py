"""The body in a scan of any kind, CT or MR: what is brighter than the dark around it.  Volume -> mask

On a smoothed isotropic copy the intensities are parted in dark, faint and bright (Otsu 1979), twice: the second time
those above the median of what is not dark count as that median, so that fat or bone, brighter than other tissue, do not
draw the thresholds up. Dark is what surrounds the body. The largest connected parts of the rest are taken, their holes,
also those of single slices, filled: lungs that the scan cuts open belong to it. Where dark and bright are not well
apart, as in a picture from within, all of the image is body.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from scipy import ndimage
from torch import Tensor

from graphreg.anatomy.base import AnyUnits
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.intensities import IntensityWindow
from graphreg.core.protocols import RegionFinder
from graphreg.core.records import Volume
from graphreg.core.resampling import identity, prepare, resample, resample_mask
from graphreg.core.settings import Settings

SPACING_MM = 3.0  # of the working copy
PART = 0.1  # of the largest connected part: smaller ones are not body
LEAST = 0.01  # share of the scan: less is no body
BINS = 128  # of the histogram
SEPARATE = 0.8  # share of the variance between dark and bright; 0.64 where all is one bell curve
WHOLE = IntensityWindow(-torch.inf, torch.inf)

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class BodyFinder(Settings):
    """Finder of a region that is the body."""

    def __call__(self, volume: Volume) -> Tensor:
        """A mask (D, H, W) bool. Raises InputError, see ``find_body``."""
        return find_body(volume)


@dataclass(frozen=True, kw_only=True)
class Body(AnyUnits):
    """The body in any two images in any units. Raises InputError where a number is out of range."""

    region: str = "body"
    find: RegionFinder = BodyFinder()


def find_body(volume: Volume) -> Tensor:
    """Mask (D, H, W) bool of the body.

    Raises:
        InputError: the image is the same everywhere, or what is bright is less than a hundredth of it.
    """
    grid = volume.grid.with_spacing(SPACING_MM)
    data = resample(prepare(volume, SPACING_MM, WHOLE), grid, identity).data.float().cpu().numpy()
    body = _filled(_large_parts(_bright(data)), _upward(grid))
    if body.mean() < LEAST:
        raise InputError(f"No body found: at least {LEAST:.0%} of the image must be brighter than what is around it")
    found = torch.from_numpy(body).to(volume.data.device)
    return resample_mask(found, grid, volume.grid, identity)


def _bright(data: Array) -> Mask:
    """What is not dark; everything where dark and bright are not well apart."""
    low, high = float(data.min()), float(data.max())
    if not high > low:
        raise InputError(f"No body found: the image has no contrast, every intensity is {low:.4g}")
    cut = np.minimum(data, np.median(data[data > _otsu(data, 2)[0]]))
    (middle,) = _otsu(cut, 1)
    if _separation(cut, middle) < SEPARATE:
        return np.ones(data.shape, bool)
    return data > _otsu(cut, 2)[0]


def _separation(data: Array, threshold: float) -> float:
    """Share of the variance that lies between the values below and above a threshold."""
    above = data > threshold
    share = above.mean()
    between = float(data[above].mean(dtype=np.float64) - data[~above].mean(dtype=np.float64))
    return float(share * (1 - share) * between**2 / data.var(dtype=np.float64))


def _otsu(data: Array, count: int) -> tuple[float, ...]:
    thresholds = sitk.OtsuMultipleThresholdsImageFilter()
    thresholds.SetNumberOfThresholds(count)
    thresholds.SetNumberOfHistogramBins(BINS)
    thresholds.Execute(sitk.GetImageFromArray(data))
    return thresholds.GetThresholds()


def _large_parts(bright: Mask) -> Mask:
    """Connected parts of at least a tenth of the largest; bridges one voxel wide do not connect."""
    labels, _ = ndimage.label(ndimage.binary_erosion(bright, border_value=1))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = (sizes > 0) & (sizes >= PART * sizes.max())
    return ndimage.binary_dilation(kept[labels], iterations=2, mask=bright)


def _filled(body: Mask, axis: int) -> Mask:
    """Without holes, first those of the slices across an axis, then those of the whole."""
    for index in range(body.shape[axis]):
        where = (slice(None),) * axis + (index,)
        body[where] = ndimage.binary_fill_holes(body[where])
    return ndimage.binary_fill_holes(body)


def _upward(grid: Grid) -> int:
    """The axis of the array that runs along the patient, as nearly as any."""
    along = [abs(component) for component in grid.direction[2]]
    return 2 - along.index(max(along))
