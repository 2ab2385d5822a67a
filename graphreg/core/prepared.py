"""What every level and refinement looks at: both images around their regions, and where they start from."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.core.affine import Affine
from graphreg.core.grid import Grid, mask_corners_mm
from graphreg.core.intensities import IntensityWindow
from graphreg.core.records import Motion, Subject, Volume
from graphreg.core.resampling import crop, identity, prepare, region, resample, resample_mask

MARGIN_MM = 10.0  # of a working grid around the fixed region
CROP_MM = 25.0  # kept around the region of either image: the working grid, and filters at its border


@dataclass(frozen=True, eq=False)
class PreparedPair:
    """Both images cropped to their regions. Made by ``prepare_pair``."""

    smoothed: Callable[[float], tuple[Volume, Volume]]  # fixed and moving as a grid of that spacing can hold them
    fixed_grid: Grid
    fixed_mask: Tensor  # (D, H, W) bool, on the fixed grid
    moving_grid: Grid
    moving_mask: Tensor  # (D, H, W) bool, on the moving grid
    start: Affine  # the pre-alignment
    region_mm: Tensor  # (8, 3), corners of the box of the fixed region
    reach_mm: Tensor  # (16, 3), and of where pre-alignment puts the moving one: a wide search stays inside
    field_grid: Grid  # of the motion, over the whole fixed image
    ends: tuple[float, float]  # of the intensities of the fixed image

    def working_grid(self, spacing_mm: float, radius_mm: float = 0.0) -> Grid:
        """Isotropic grid around the fixed region; around what may become of it, too, where a search reaches further."""
        around_mm = self.reach_mm if radius_mm > MARGIN_MM else self.region_mm
        return Grid.covering(around_mm, spacing_mm, MARGIN_MM)

    def fixed_on(self, grid: Grid, spacing_mm: float) -> Volume:
        """The fixed image, smoothed for that spacing, on a grid."""
        return resample(self.smoothed(spacing_mm)[0], grid, identity)

    def plain(self, fixed: Volume) -> Volume:
        """The fixed image, on any grid, without what rounding has made of its ends: flat places have no structure."""
        return Volume(fixed.grid, fixed.data.clamp(*self.ends))

    def moving_on(self, grid: Grid, spacing_mm: float, motion: Motion) -> Volume:
        """The moving image, smoothed for that spacing, as it looks through a motion on a grid."""
        return resample(self.smoothed(spacing_mm)[1], grid, motion)

    def fixed_region(self, grid: Grid) -> Tensor:
        """Fixed mask (D, H, W) on a grid."""
        return resample_mask(self.fixed_mask, self.fixed_grid, grid, identity)

    def moving_region(self, grid: Grid, motion: Motion) -> Tensor:
        """Moving mask (D, H, W) as it looks through a motion on a grid."""
        return resample_mask(self.moving_mask, self.moving_grid, grid, motion)


def prepare_pair(
    fixed: Subject,
    moving: Subject,
    start: Affine,
    windows: tuple[IntensityWindow, IntensityWindow],
    field_spacing_mm: float,
) -> PreparedPair:
    """What the levels need of two images with their regions and windows of intensities."""
    subjects = (fixed, moving)
    parts = [region(subject.mask, subject.image.grid, CROP_MM) for subject in subjects]
    region_mm, moving_region_mm = (mask_corners_mm(subject.mask, subject.image.grid) for subject in subjects)
    cropped = [crop(subject.image, part) for subject, part in zip(subjects, parts, strict=True)]
    return PreparedPair(
        smoothed=_smoothed(cropped, windows),
        fixed_grid=cropped[0].grid,
        fixed_mask=fixed.mask[parts[0]],
        moving_grid=cropped[1].grid,
        moving_mask=moving.mask[parts[1]],
        start=start,
        region_mm=region_mm,
        reach_mm=torch.cat((region_mm, start.inverse()(moving_region_mm))),
        field_grid=fixed.image.grid.with_spacing(field_spacing_mm),
        ends=windows[0].ends,
    )


def _smoothed(
    images: list[Volume], windows: tuple[IntensityWindow, IntensityWindow]
) -> Callable[[float], tuple[Volume, Volume]]:
    """Both images for any spacing, of which the last is kept: levels that follow one another may share it."""
    kept: dict[float, tuple[Volume, Volume]] = {}

    def smoothed(spacing_mm: float) -> tuple[Volume, Volume]:
        if spacing_mm not in kept:
            kept.clear()  # before the next ones are made: both would not fit
            fixed, moving = (prepare(v, spacing_mm, window) for v, window in zip(images, windows, strict=True))
            kept[spacing_mm] = fixed, moving
        return kept[spacing_mm]

    return smoothed
