"""Stage 0: blocks of one image found again in the other, whatever it shows.  Two images -> motion

Block matching (Ourselin et al. 2000): round after round the moving image is seen through the motion so far, every
block around a keypoint looks for the displacement at which its features fit best, and a motion is fitted to all of them
by trimmed least squares: to the share of the blocks that agree with it best, again and again until they stay the same
(Rousseeuw & Van Driessen 2006). Blocks that were found wrongly fall out.

The motion of each round comes before that so far, start @ first @ second: a rigid one leaves the scale of the start.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.core.affine import Affine
from graphreg.core.grid import Grid, mask_corners_mm
from graphreg.core.intensities import IntensityWindow
from graphreg.core.protocols import Features, Matcher, Sampler
from graphreg.core.records import CostVolume, Subject, Volume
from graphreg.core.resampling import crop, identity, prepare, region, resample, resample_mask
from graphreg.core.settings import Settings, require
from graphreg.prealignment.least_squares import KINDS, Kind, best

TRIMMINGS = 50  # at most; ten mostly do
WHOLE = IntensityWindow(-torch.inf, torch.inf)


@dataclass(frozen=True, kw_only=True)
class BlockMatching(Settings):
    """Pre-aligner. Raises InputError where a number is out of range."""

    sampler: Sampler  # of the blocks
    features: Features
    matcher: Matcher  # its radius is how far a block is looked for in each round
    motion: Kind = "affine"
    spacing_mm: float = 4.0  # of the working copies
    rounds: int = 3
    kept: float = 0.5  # share of the blocks that a motion is fitted to

    def check(self) -> None:
        require(self.motion in KINDS, f"block_matching.motion must be one of {', '.join(KINDS)}", self.motion)
        require(self.spacing_mm > 0, "block_matching.spacing_mm must be positive", self.spacing_mm)
        require(self.rounds >= 1, "block_matching.rounds must be at least 1", self.rounds)
        require(0 < self.kept <= 1, "block_matching.kept must lie in (0, 1]", self.kept)

    def __call__(self, fixed: Subject, moving: Subject, start: Affine) -> Affine:
        """The start, better. Raises InputError where there are too few blocks or those kept tell no such motion."""
        reach_mm = self.matcher.radius_mm
        grid = Grid.covering(mask_corners_mm(fixed.mask, fixed.image.grid), self.spacing_mm, reach_mm)
        here, mask = _seen(self._softened(fixed), grid, identity)
        keypoints = self.sampler(here, mask)
        features, weights = self.features(here, mask), mask.to(here.data)
        moving, motion = self._softened(moving), start
        for _ in range(self.rounds):
            costs = self.matcher(features, self.features(*_seen(moving, grid, motion)), keypoints, weights)
            points_mm, shifts_mm = keypoints.points_mm.cpu().double(), best_shifts_mm(costs).cpu().double()
            motion = motion @ trimmed(points_mm, points_mm + shifts_mm, self.motion, self.kept)
        return motion

    def _softened(self, subject: Subject) -> Subject:
        """The surroundings of the region, smoothed to what the working grid can hold."""
        part = region(subject.mask, subject.image.grid, 2 * self.matcher.radius_mm)
        return Subject(prepare(crop(subject.image, part), self.spacing_mm, WHOLE), subject.mask[part])


def _seen(subject: Subject, grid: Grid, motion: Callable[[Tensor], Tensor]) -> tuple[Volume, Tensor]:
    """Image and region of a subject as they look through a motion on a grid; the region may be empty there."""
    image = resample(subject.image, grid, motion)
    return Volume(grid, image.data), resample_mask(subject.mask, subject.image.grid, grid, motion)


def best_shifts_mm(costs: CostVolume) -> Tensor:
    """The displacement (N, 3) of least cost, between the labels by a parabola along each axis."""
    side = costs.labels.shape[0]
    flat = costs.costs.flatten(1)
    least, where = flat.min(1)
    shifts = torch.empty(len(flat), 3, dtype=flat.dtype, device=flat.device)
    for column, stride in enumerate((1, side, side**2)):  # x, y, z
        place = where // stride % side
        inside = (place > 0) & (place < side - 1)
        low, high = (flat.gather(1, (where + way * inside)[:, None])[:, 0] for way in (-stride, stride))
        bend = (low + high - 2 * least).clamp_min(torch.finfo(flat.dtype).tiny)
        between = torch.where(inside, 0.5 * (low - high) / bend, 0.0).clamp(-0.5, 0.5)
        shifts[:, column] = place - side // 2 + between
    return shifts * costs.labels.spacing_mm[0]


def trimmed(fixed_mm: Tensor, moving_mm: Tensor, kind: Kind, kept: float) -> Affine:
    """The motion of a kind that fits best to the share of the points (N, 3) that it fits best to."""
    count = max(round(kept * len(fixed_mm)), 1)
    motion, chosen = best(fixed_mm, moving_mm, kind), None
    for _ in range(TRIMMINGS):
        left = (motion(fixed_mm) - moving_mm).square().sum(1)
        nearest = left.argsort(stable=True)[:count].sort()[0]
        if chosen is not None and torch.equal(nearest, chosen):
            break
        chosen = nearest
        motion = best(fixed_mm[chosen], moving_mm[chosen], kind)
    return motion
