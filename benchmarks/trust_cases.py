"""Pairs made wrong in the ways in which files are mixed up, and right ones that are harder than usual."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor

from graphreg import Grid, ImagePair, Volume
from graphreg.core.grid import box
from graphreg.core.resampling import identity, resample_mask

FLUID_HU = 20.0
THICK_MM = 5.0  # slices of clinical scans


@dataclass(frozen=True, eq=False)
class Subject:
    """A right pair with both masks."""

    name: str
    fixed: Volume
    moving: Volume
    fixed_mask: Tensor
    moving_mask: Tensor

    @classmethod
    def of(cls, name: str, pair: ImagePair) -> "Subject":
        """That pair. Raises ValueError where it lacks a mask."""
        if pair.fixed_mask is None or pair.moving_mask is None:
            raise ValueError(f"{name} lacks a mask")
        return cls(name, pair.fixed, pair.moving, pair.fixed_mask, pair.moving_mask)

    def pair(self) -> ImagePair:
        """Its images and masks."""
        return ImagePair(self.fixed, self.moving, self.fixed_mask, self.moving_mask)


Make = Callable[[Subject, Subject], ImagePair]  # of a subject and another patient's


def as_it_is(subject: Subject, _: Subject) -> ImagePair:
    """Right."""
    return subject.pair()


def without_masks(subject: Subject, _: Subject) -> ImagePair:
    """Right; the masks are to be found."""
    return ImagePair(subject.fixed, subject.moving)


def thick_slices(subject: Subject, _: Subject) -> ImagePair:
    """Right; slices of 5 mm."""
    fixed, fixed_mask = _thick(subject.fixed, subject.fixed_mask)
    moving, moving_mask = _thick(subject.moving, subject.moving_mask)
    return ImagePair(fixed, moving, fixed_mask, moving_mask)


def other_patient(subject: Subject, other: Subject) -> ImagePair:
    """The moving image of somebody else."""
    return ImagePair(subject.fixed, other.moving, subject.fixed_mask, other.moving_mask)


def mirrored(subject: Subject, _: Subject) -> ImagePair:
    """The moving image with left and right exchanged."""
    moving = Volume(subject.moving.grid, subject.moving.data.flip(-1).contiguous())
    return ImagePair(subject.fixed, moving, subject.fixed_mask, subject.moving_mask.flip(-1).contiguous())


def swapped(subject: Subject, _: Subject) -> ImagePair:
    """Exhale for inhale."""
    return ImagePair(subject.moving, subject.fixed, subject.moving_mask, subject.fixed_mask)


def other_mask(subject: Subject, other: Subject) -> ImagePair:
    """The fixed mask of somebody else, as far as it fits into the array."""
    mask = torch.zeros_like(subject.fixed_mask)
    common = tuple(slice(min(sizes)) for sizes in zip(mask.shape, other.fixed_mask.shape, strict=True))
    mask[common] = other.fixed_mask[common]
    return ImagePair(subject.fixed, subject.moving, mask, subject.moving_mask)


def mask_of_moving(subject: Subject, _: Subject) -> ImagePair:
    """The moving mask for both images."""
    mask = resample_mask(subject.moving_mask, subject.moving.grid, subject.fixed.grid, identity)
    return ImagePair(subject.fixed, subject.moving, mask, subject.moving_mask)


def lung_lost(subject: Subject, _: Subject) -> ImagePair:
    """One lung of the moving image full of fluid, and not in its mask."""
    kept = _one_lung(subject.moving_mask)
    gone = subject.moving_mask & ~kept
    data = subject.moving.data.clone()
    data[gone] = FLUID_HU
    return ImagePair(subject.fixed, Volume(subject.moving.grid, data), subject.fixed_mask, kept)


def lung_unmasked(subject: Subject, _: Subject) -> ImagePair:
    """One lung missing from the moving mask alone."""
    return ImagePair(subject.fixed, subject.moving, subject.fixed_mask, _one_lung(subject.moving_mask))


def top_only(subject: Subject, _: Subject) -> ImagePair:
    """Of the moving lungs only the upper quarter was scanned."""
    rows = box(subject.moving_mask)[0]
    head_first = subject.moving.grid.direction[2][2] > 0  # slices run to the head
    quarter = (rows.stop - rows.start) // 4
    kept = slice(rows.stop - quarter, None) if head_first else slice(0, rows.start + quarter)
    depth, height, width = subject.moving.grid.shape
    first, stop, _step = kept.indices(depth)
    grid = subject.moving.grid.part((slice(first, stop), slice(0, height), slice(0, width)))
    moving = Volume(grid, subject.moving.data[kept].contiguous())
    return ImagePair(subject.fixed, moving, subject.fixed_mask, subject.moving_mask[kept].contiguous())


RIGHT: dict[str, Make] = {"as it is": as_it_is, "masks found": without_masks, "5 mm slices": thick_slices}
WRONG: dict[str, Make] = {
    "other patient": other_patient,
    "mirrored": mirrored,
    "swapped": swapped,
    "other patient's mask": other_mask,
    "moving mask for fixed": mask_of_moving,
    "one lung lost": lung_lost,
    "one lung not in a mask": lung_unmasked,
    "upper quarter only": top_only,
}


def _one_lung(mask: Tensor) -> Tensor:
    """The larger of two lungs; of one alone, or of two that touch, the half at smaller x indices."""
    labels, count = ndimage.label(mask.numpy())
    sizes = ndimage.sum_labels(mask.numpy(), labels, range(1, count + 1))
    order = sizes.argsort()[::-1]
    if count > 1 and sizes[order[1]] > sizes[order[0]] / 4:
        return torch.from_numpy(labels == order[0] + 1)
    across = box(mask)[2]
    kept = mask.clone()
    kept[..., (across.start + across.stop) // 2 :] = False
    return kept


def _thick(volume: Volume, mask: Tensor) -> tuple[Volume, Tensor]:
    """Slices averaged."""
    grid = volume.grid
    every = max(round(THICK_MM / grid.spacing_mm[2]), 1)
    count = grid.shape[0] // every

    def averaged(data: Tensor) -> Tensor:
        return data[: count * every].unflatten(0, (count, every)).mean(1)

    x, y, z = grid.to_mm(torch.tensor([(every - 1) / 2, 0, 0], dtype=torch.float64)).tolist()
    spacing = (*grid.spacing_mm[:2], grid.spacing_mm[2] * every)
    thick = Grid((count, *grid.shape[1:]), spacing, (x, y, z), grid.direction)
    return Volume(thick, averaged(volume.data)), averaged(mask.float()) > 0.5
