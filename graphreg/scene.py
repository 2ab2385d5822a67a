"""What every level of a registration looks at: both images cropped to their lungs, and where they start from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.anatomy.lung_ct.mask import find_lungs, require_air
from graphreg.config import RegistrationConfig
from graphreg.core.affine import Affine
from graphreg.core.grid import Grid, mask_corners_mm
from graphreg.core.records import ImagePair, Volume
from graphreg.core.resampling import crop, identity, prepare, region, resample_mask
from graphreg.prealignment.masks import align_masks
from graphreg.runtime.monitor import Monitor

MARGIN_MM = 10.0  # of a working grid around the fixed lungs
CROP_MM = 25.0  # kept around the lungs of either image: the working grid, and filters at its border


@dataclass(frozen=True, eq=False)
class Scene:
    """What every level looks at: both images cropped to their lungs."""

    prepared: Callable[[float], tuple[Volume, Volume]]  # fixed and moving as a grid of that spacing can hold them
    fixed_grid: Grid
    fixed_mask: Tensor  # (D, H, W) bool, on the fixed grid
    moving_grid: Grid
    moving_mask: Tensor  # (D, H, W) bool, on the moving grid
    start: Affine  # the pre-alignment
    lungs_mm: Tensor  # (8, 3), corners of the box of the fixed lungs
    reach_mm: Tensor  # (16, 3), and of where pre-alignment puts the moving ones: a wide search stays inside
    field_grid: Grid  # of the motion, over the whole fixed image
    config: RegistrationConfig
    monitor: Monitor

    def working_grid(self, spacing_mm: float, wide: bool = False) -> Grid:
        """Isotropic grid around the fixed lungs or, where it is wide, around what may become of them, too."""
        return Grid.covering(self.reach_mm if wide else self.lungs_mm, spacing_mm, MARGIN_MM)

    def fixed_lungs(self, grid: Grid) -> Tensor:
        """Fixed mask (D, H, W) on a grid."""
        return resample_mask(self.fixed_mask, self.fixed_grid, grid, identity)


def find_masks(pair: ImagePair, config: RegistrationConfig, monitor: Monitor) -> tuple[Tensor, Tensor]:
    """Lung masks (D, H, W) of the fixed and the moving image: those of the pair, found where it has none."""
    with monitor.stage("mask"):
        with about("fixed image"):
            fixed_mask = _lungs(pair.fixed, pair.fixed_mask, config)
        with about("moving image"):
            moving_mask = _lungs(pair.moving, pair.moving_mask, config)
    return fixed_mask, moving_mask


def _lungs(image: Volume, mask: Tensor | None, config: RegistrationConfig) -> Tensor:
    """The mask, or that of the lungs where there is none; they hold air in either case."""
    if mask is None:
        return find_lungs(image, config.mask)
    require_air(image, mask, config.mask)
    return mask


def open_scene(pair: ImagePair, masks: tuple[Tensor, Tensor], config: RegistrationConfig, monitor: Monitor) -> Scene:
    """Pre-alignment, and what the levels need of a pair with the masks (D, H, W) of both images."""
    with monitor.stage("alignment"):
        start = align_masks(masks[0], pair.fixed.grid, masks[1], pair.moving.grid, config.alignment)
    images = (pair.fixed, pair.moving)
    parts = [region(mask, volume.grid, CROP_MM) for mask, volume in zip(masks, images, strict=True)]
    lungs_mm, moving_lungs_mm = (mask_corners_mm(mask, volume.grid) for mask, volume in zip(masks, images, strict=True))
    cropped = [crop(volume, part) for volume, part in zip(images, parts, strict=True)]

    kept: dict[float, tuple[Volume, Volume]] = {}  # levels that follow one another may share a spacing

    def prepared(spacing_mm: float) -> tuple[Volume, Volume]:
        if spacing_mm not in kept:
            kept.clear()  # before the next ones are made: both would not fit
            fixed, moving = (prepare(volume, spacing_mm, config.window_hu) for volume in cropped)
            kept[spacing_mm] = fixed, moving
        return kept[spacing_mm]

    return Scene(
        prepared=prepared,
        fixed_grid=cropped[0].grid,
        fixed_mask=masks[0][parts[0]],
        moving_grid=cropped[1].grid,
        moving_mask=masks[1][parts[1]],
        start=start,
        lungs_mm=lungs_mm,
        reach_mm=torch.cat((lungs_mm, start.inverse()(moving_lungs_mm))),
        field_grid=pair.fixed.grid.with_spacing(config.field_spacing_mm),
        config=config,
        monitor=monitor,
    )


@contextmanager
def about(image: str) -> Iterator[None]:
    """Errors in the block say which image they are about."""
    try:
        yield
    except ValueError as error:
        raise type(error)(f"{image}: {error}") from error
