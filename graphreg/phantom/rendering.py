"""From anatomy and motion to CT images.

Both images show the same inhale anatomy: the moving one at the origin of each exhale point, with the lungs denser as
they shrink. Vessels are drawn around their centre lines, which are moved exactly, so that thin ones are equally sharp.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphreg.core.filters import gaussian
from graphreg.core.grid import Grid, sample
from graphreg.phantom.breathing import Breathing, BreathingInverse, inverse_breathing
from graphreg.phantom.thorax import Thorax, core_tissue, occupancy, wall_tissue
from graphreg.phantom.vessels import Plumbing, Tubes

BLOOD_HU = 45.0
AIRWAY_WALL_HU = -50.0
AIR_HU = -990.0
CHUNK = 1 << 15  # points worked on at once, so that they stay in cache
SUBSLICES = 2  # drawn per slice for tubes, then averaged


@dataclass(frozen=True, eq=False)
class Chest:
    """Everything there is to see at inhale."""

    thorax: Thorax
    plumbing: Plumbing
    texture_grid: Grid
    texture: Tensor  # (2, D, H, W): fine and coarse, standard deviation one
    lung_hu: float  # of parenchyma between the vessels


def draw_texture(rng: np.random.Generator, thorax: Thorax, step_mm: float) -> tuple[Grid, Tensor]:
    """Random texture that moves with the tissue."""
    reach = torch.tensor([thorax.half_width_mm + 30, thorax.half_depth_mm + 30, 0.85 * thorax.height_mm])
    grid = Grid.covering(torch.stack((-reach, reach)), step_mm)
    white = torch.from_numpy(rng.standard_normal((2, *grid.shape), dtype=np.float32))
    fields = [gaussian(w, (s,) * 3) for w, s in zip(white, (0.6, 9 / step_mm), strict=True)]
    return grid, torch.stack([f / f.std() for f in fields])


def render(chest: Chest, grid: Grid, breathing: Breathing | None) -> tuple[Tensor, Tensor]:
    """HU (D, H, W) without noise, and the mask of the lungs, at inhale (no breathing) or exhale."""
    back = None if breathing is None else inverse_breathing(breathing, grid)
    parts = []
    for slab in grid.slabs():
        points = grid.points_mm(torch.zeros(()), slab).reshape(-1, 3)
        parts += [_paint(chest, part, breathing, back) for part in points.split(CHUNK)]
    hu, mask = (torch.cat(column).reshape(grid.shape) for column in zip(*parts, strict=True))
    return _draw_tubes(hu, chest.plumbing, grid, breathing), mask


def _paint(
    chest: Chest, points_mm: Tensor, breathing: Breathing | None, back: BreathingInverse | None
) -> tuple[Tensor, Tensor]:
    """HU (N,) without vessels and whether it is lung (N,), at points (N, 3) of an image."""
    thorax, hu = chest.thorax, torch.zeros(len(points_mm))
    frame = points_mm if breathing is None else breathing.wall_inverse(points_mm)
    hull = thorax.hull(frame)
    inside = (hull < 4).nonzero()[:, 0]
    origin = points_mm[inside] if back is None else back(points_mm[inside])
    level = thorax.lung(origin)

    near = level > -1
    hu[inside[near]] = core_tissue(thorax, origin[near], _texture(chest, origin[near])[0])
    wall = (torch.minimum(-hull, thorax.spine(frame)) < 2).nonzero()[:, 0]
    hu[wall] = wall_tissue(thorax, frame[wall], _texture(chest, frame[wall])[0])
    near = level < 1
    lung, share, origin = inside[near], occupancy(level[near], 2), origin[near]
    density = parenchyma(chest, origin) + 1000
    density = density if back is None else density / back.change(origin)
    hu[lung] = torch.lerp(hu[lung], density - 1000, share)
    mask = torch.zeros(len(hu), dtype=torch.bool)
    mask[inside] = level < 0
    return hu, mask


def parenchyma(chest: Chest, points_mm: Tensor) -> Tensor:
    """HU (N,) of lung at inhale: denser towards the back, mottled, with fissures."""
    fine, coarse = _texture(chest, points_mm)
    oblique, horizontal = chest.thorax.fissures(points_mm)
    right_front = (points_mm[:, 0] < 0) & (oblique > 0)
    sheet = torch.exp(-((oblique / 0.9) ** 2)) + torch.exp(-((horizontal / 0.9) ** 2)) * right_front
    slope = 22 * points_mm[:, 1] / chest.thorax.half_depth_mm
    return chest.lung_hu + slope + 16 * fine + 12 * coarse + 90 * sheet


def _texture(chest: Chest, points_mm: Tensor) -> Tensor:
    return sample(chest.texture, chest.texture_grid, points_mm)


def _draw_tubes(hu: Tensor, plumbing: Plumbing, grid: Grid, breathing: Breathing | None) -> Tensor:
    """Vessels keep their blood as the lung shrinks, airways shrink with it."""
    blood, lumen = _carried(plumbing.blood, breathing, -1 / 6), _carried(plumbing.airways, breathing, 1 / 3)
    wall = Tubes(lumen.points_mm, 1.12 * lumen.radius_mm + 0.4)
    for tubes, value in ((blood, BLOOD_HU), (wall, AIRWAY_WALL_HU)):
        drawn = torch.lerp(hu, torch.full_like(hu, value), tube_share(tubes, grid))
        hu = torch.maximum(hu, drawn)  # invisible in the mediastinum
    return torch.lerp(hu, torch.full_like(hu, AIR_HU), tube_share(lumen, grid))


def _carried(tubes: Tubes, breathing: Breathing | None, power: float) -> Tubes:
    if breathing is None:
        return tubes
    change = breathing.jacobian(tubes.points_mm)
    return Tubes(breathing(tubes.points_mm), tubes.radius_mm * change**power)


def tube_share(tubes: Tubes, grid: Grid) -> Tensor:
    """Share (D, H, W) of each voxel that lies in a tube."""
    x, y, z = grid.spacing_mm
    thin = z / SUBSLICES
    depth, height, width = grid.shape
    first = (grid.origin_mm[0], grid.origin_mm[1], grid.origin_mm[2] - (z - thin) / 2)
    fine = Grid((depth * SUBSLICES, height, width), (x, y, thin), first, grid.direction)
    share = torch.zeros(fine.voxels)
    blur = max(0.5 * x, 0.4 * thin)
    reach = tubes.radius_mm + 2.4 * blur
    size = torch.ceil(reach / x)
    for widest in torch.unique(size).tolist():
        chosen = size == widest
        balls = Tubes(tubes.points_mm[chosen].float(), tubes.radius_mm[chosen].float())
        _splat(share, fine, balls, [math.ceil(widest * x / s) for s in (thin, y, x)], blur)
    return share.reshape(depth, SUBSLICES, height, width).mean(1)


def _splat(share: Tensor, grid: Grid, balls: Tubes, window: Sequence[int], blur: float) -> None:
    """Raise ``share`` (flat) to the blurred balls, within a window (z, y, x) of voxels either side."""
    radius = balls.radius_mm
    # Peak and width of a disc of radius r under a Gaussian: r^2 / 2 s^2 where thin, an edge at r where thick.
    peak = 1 - torch.exp(-(radius**2) / (2 * blur**2))
    plateau = (radius - 1.18 * blur).clamp(min=0)
    for part in torch.arange(len(radius)).split(max(2 * CHUNK // math.prod(2 * w + 1 for w in window), 1)):
        centre = grid.to_index(balls.points_mm[part])
        flat, square = torch.zeros(1, dtype=torch.long), torch.zeros(1)
        for axis, (size, step, reach) in enumerate(zip(grid.shape, grid.spacing_mm[::-1], window, strict=True)):
            # Beyond the border the last voxel is hit again, with its own distance.
            voxel = (centre[:, axis, None].round().long() + torch.arange(-reach, reach + 1)).clamp(0, size - 1)
            offset = (voxel - centre[:, axis, None]) * step
            expand = (slice(None), *(slice(None) if a == axis else None for a in range(3)))
            flat, square = flat * size + voxel[expand], square + offset[expand] ** 2
        beyond = (square.sqrt() - plateau[part, None, None, None]).clamp(min=0)
        value = peak[part, None, None, None] * torch.exp(beyond**2 / (-2 * blur**2))
        share.scatter_reduce_(0, flat.reshape(-1), value.reshape(-1), "amax")


def add_noise(hu: Tensor, rng: np.random.Generator, noise_hu: float) -> Tensor:
    """CT noise, a little correlated in the slice, of a given standard deviation; values stay within a CT's range."""
    noise = gaussian(torch.from_numpy(rng.standard_normal(tuple(hu.shape), dtype=np.float32)), (0, 0.6, 0.6))
    return (hu + noise * (noise_hu / noise.std())).clamp(-1024, 3071)
