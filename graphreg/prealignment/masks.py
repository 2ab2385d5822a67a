"""Stage 0: pre-alignment. Two masks to an affine motion that brings the search near; intensities are not looked at.

Centre and spread of the masks give a translation and a scale per axis. From there the distance of the two surfaces,
each to the other, is lowered over the affine motions near that start (Gauss-Newton, robust weights).
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from graphreg.core.affine import Affine
from graphreg.core.errors import InputError
from graphreg.core.filters import derivative, gaussian
from graphreg.core.grid import Grid, box, mask_points_mm, sample
from graphreg.core.records import Subject
from graphreg.core.settings import Settings

MARGIN_MM = 60.0  # the distances are known so far around a mask


@dataclass(frozen=True, kw_only=True)
class MaskAlignment(Settings):
    """How closely the surfaces are brought together. Raises InputError where a number is out of range."""

    spacing_mm: float = 4.0  # of the working copies
    scale: tuple[float, float] = (0.6, 1.6)  # limits per axis of the start
    reach_mm: float = 20.0  # surface distances beyond this weigh less and less
    stiffness: float = 30.0  # mm^2 of surface distance that one standard deviation of change is worth
    steps: int = 10  # of Gauss-Newton; 0 leaves translation and scale
    points: int = 3000  # of each surface, about

    def check(self) -> None:
        if min(self.spacing_mm, self.reach_mm, self.stiffness, self.points) <= 0 or self.steps < 0:
            raise InputError(f"Alignment settings must be positive (steps may be 0), got {self}")
        if not 0 < self.scale[0] <= 1 <= self.scale[1]:
            raise InputError(f"The limits of the scale must hold 1 between them, got {self.scale}")

    def __call__(self, fixed: Subject, moving: Subject, start: Affine) -> Affine:
        """Affine motion of the masked regions, fixed -> moving, whatever the scanners called their origins.

        ``start`` is replaced, as masks tell all that they know; a mask of a whole scan tells nothing and leaves it.

        Raises:
            InputError: a mask that is empty or does not fit its grid.
        """
        if bool(fixed.mask.all()) or bool(moving.mask.all()):
            return start
        return align_masks(fixed.mask, fixed.image.grid, moving.mask, moving.image.grid, self)


def align_masks(
    fixed_mask: Tensor,
    fixed_grid: Grid,
    moving_mask: Tensor,
    moving_grid: Grid,
    config: MaskAlignment = MaskAlignment(),
) -> Affine:
    """Affine motion of masks (D, H, W) bool, fixed -> moving. Raises InputError as above."""
    one = _shape("fixed", fixed_mask, fixed_grid, config)
    other = _shape("moving", moving_mask, moving_grid, config)
    motion, change = _motion(one, other, torch.zeros(3, 4).double(), config), torch.zeros(3, 4).double()
    for _ in range(config.steps):
        change = change + _step(motion, change, one, other, config)
        motion = _motion(one, other, change, config)
    return motion


@dataclass(frozen=True, eq=False)
class _Shape:
    """A mask as the alignment sees it."""

    scan: Grid
    grid: Grid  # of the distances
    distance_mm: Tensor  # (4, D, H, W): to the surface, negative inside; its derivatives along x, y, z
    surface_mm: Tensor  # (N, 3); where the scan cuts the region is no surface
    centre_mm: Tensor  # (3,)
    spread_mm: Tensor  # (3,), standard deviation


def _shape(name: str, mask: Tensor, scan: Grid, config: MaskAlignment) -> _Shape:
    if tuple(mask.shape) != scan.shape or mask.dtype != torch.bool:
        raise InputError(f"The {name} mask must be bool {scan.shape}, got {mask.dtype} {tuple(mask.shape)}")
    if not mask.any():
        raise InputError(f"The {name} mask must hold at least one voxel, got an empty mask")
    spans = box(mask, (1, 1, 1))  # a rim of background; where the scan cuts the region, it goes on instead
    near = mask[spans].cpu()
    part = scan.part(spans)
    grid = Grid.covering(part.corners_mm(), config.spacing_mm, MARGIN_MM)
    points_mm = grid.points_mm(torch.zeros(0, dtype=torch.float64))
    region = sample(near.double()[None], part, points_mm)[0] >= 0.5
    scanned = scan.contains(points_mm)
    distance_mm = _distances(region, config.spacing_mm)
    surface_mm = points_mm[(distance_mm[0].abs() < config.spacing_mm) & scanned]
    surface_mm = surface_mm[:: max(-(-len(surface_mm) // config.points), 1)]
    distance, *slope = sample(distance_mm, grid, surface_mm)
    surface_mm = surface_mm - distance[:, None] * torch.stack(slope, 1)
    inside_mm = points_mm[region & scanned] if (region & scanned).any() else mask_points_mm(near, part)  # a speck
    spread_mm, centre_mm = torch.std_mean(inside_mm, 0, correction=0)
    return _Shape(scan, grid, distance_mm, surface_mm, centre_mm, spread_mm.clamp(min=config.spacing_mm))


def _distances(region: Tensor, spacing_mm: float) -> Tensor:
    """Signed distance to the surface of a mask (D, H, W) and its derivatives (4, D, H, W)."""
    padded = np.pad(region.numpy(), 1)  # background somewhere, also around a scan that is all region
    outward = ndimage.distance_transform_edt(~padded) if padded.any() else np.full(padded.shape, MARGIN_MM / spacing_mm)
    outward = (outward - ndimage.distance_transform_edt(padded))[1:-1, 1:-1, 1:-1]
    distance = torch.from_numpy(outward - 0.5 * np.sign(outward)) * spacing_mm
    distance = gaussian(distance, (1.0,) * 3)
    return torch.stack([distance, *(derivative(distance, axis, spacing_mm) for axis in (-1, -2, -3))])


def _motion(fixed: _Shape, moving: _Shape, change: Tensor, config: MaskAlignment) -> Affine:
    """The start by the moments, changed by (3, 4) in units of the spread."""
    scale = (moving.spread_mm / fixed.spread_mm).clamp(*config.scale)
    matrix = scale.diag() + moving.spread_mm[:, None] * change[:, :3] / fixed.spread_mm
    return Affine(matrix, moving.centre_mm + moving.spread_mm * change[:, 3] - matrix @ fixed.centre_mm)


def _step(motion: Affine, change: Tensor, fixed: _Shape, moving: _Shape, config: MaskAlignment) -> Tensor:
    """Gauss-Newton step (3, 4) on the distances of each surface to the other, and on the size of the change."""
    forth_mm = motion(fixed.surface_mm)
    back_mm = motion.inverse()(moving.surface_mm)
    curvature, gradient = config.stiffness * torch.eye(12).double(), config.stiffness * change.flatten()
    for target, at_mm, source_mm, moves in (
        (moving, forth_mm, fixed.surface_mm, torch.eye(3).double()),
        (fixed, back_mm, back_mm, -motion.inverse().matrix),
    ):
        distance, *slope = sample(target.distance_mm, target.grid, at_mm)
        weight = target.scan.contains(at_mm) / (1 + (distance / config.reach_mm) ** 2)
        where = torch.cat([(source_mm - fixed.centre_mm) / fixed.spread_mm, torch.ones_like(source_mm[:, :1])], 1)
        slopes = torch.stack(slope, 1) @ moves * moving.spread_mm
        rows = torch.einsum("ni,nj->nij", slopes, where).flatten(1)
        weighted = weight[:, None] * rows / weight.sum().clamp(min=1)
        curvature = curvature + weighted.T @ rows
        gradient = gradient + weighted.T @ distance
    return -torch.linalg.solve(curvature, gradient).reshape(3, 4)
