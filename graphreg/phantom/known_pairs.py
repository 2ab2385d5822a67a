"""Pairs whose motion is known: a phantom, or a single CT scan made to breathe.

A scan breathes inside its lungs only, which slide along a still chest wall. The moving image shows the smoothed scan at
the origin of each point, air as much denser as its lung shrinks, soft tissue where lung was, and noise of its own.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphreg.core.fields import jacobian_determinant
from graphreg.core.filters import gaussian
from graphreg.core.grid import Grid, mask_points_mm, sample
from graphreg.core.intensities import IntensityWindow
from graphreg.core.lattice import linear, transfer
from graphreg.core.records import DenseField, ImagePair, Landmarks, Motion, Volume
from graphreg.core.resampling import crop, identity, prepare, region, resample, resample_mask
from graphreg.phantom import PhantomConfig, make_phantom
from graphreg.phantom.breaths import ExactInverse, draw_breath, exact_inverse

FIELD_OF_VIEW_MM = 22.0  # around the lungs
TISSUE_HU = 40.0
SOFT_MM = 0.7  # width over which tissue takes the place of lung
NOISE_HU = (5.0, 80.0)  # range of its standard deviation
SPOTS_MM = 25.0  # size of the places that are noisier or less noisy than others
WINDOW = IntensityWindow(-1024.0, 3071.0)  # of a scanner


@dataclass(frozen=True, eq=False)
class KnownPair:
    """Two images and the exact motion between their lungs."""

    pair: ImagePair  # with the masks of both lungs
    motion: Motion  # exact in the fixed lungs


@dataclass(frozen=True, eq=False)
class Chest:
    """A single scan and its lungs."""

    scan: Volume
    lungs: Tensor  # (D, H, W) bool


def phantom_pair(rng: np.random.Generator) -> KnownPair:
    """A phantom of a patient, a breath, a resolution and a noise that no other has."""
    plane, slices = rng.uniform(0.9, 1.5), rng.uniform(1.0, 2.5)
    config = PhantomConfig(
        fixed_spacing_mm=(plane, slices),
        moving_spacing_mm=(plane * rng.uniform(0.9, 1.1), rng.uniform(1.0, 2.5)),
        lift_mm=(8.0, 50.0),
        lung_hu=(-920.0, -820.0),
        noise_hu=float(np.exp(rng.uniform(*np.log(NOISE_HU)))),
        vessel_spacing_mm=rng.uniform(7.5, 12),
        thinnest_vessel_mm=rng.uniform(0.5, 0.9),
        texture_mm=rng.uniform(2.0, 4.0),
    )
    made = make_phantom(int(rng.integers(1 << 20, 1 << 31)), config)  # far from the seeds that people try
    return KnownPair(made.pair, made.motion)


def breathing_pair(rng: np.random.Generator, chest: Chest, measured: tuple[Landmarks, ...] = ()) -> KnownPair:
    """The scan as it is, of another size, and made to breathe out; or, as often, from exhale to inhale."""
    chest = _resized(rng, chest)
    lungs_mm = mask_points_mm(chest.lungs, chest.scan.grid)[::7]
    breath = draw_breath(rng, lungs_mm, measured)
    back = exact_inverse(breath)
    corners_mm = torch.cat((lungs_mm, breath(lungs_mm)))
    grids = [_field_of_view(rng, corners_mm) for _ in range(2)]
    inhale, inhale_mask = _seen(chest, grids[0], rng)
    exhale, exhale_mask = _breathed_out(chest, breath, back, grids[1], rng)
    if rng.random() < 0.5:
        return KnownPair(ImagePair(inhale, exhale, inhale_mask, exhale_mask), breath)
    return KnownPair(ImagePair(exhale, inhale, exhale_mask, inhale_mask), back)


def _resized(rng: np.random.Generator, chest: Chest) -> Chest:
    """The chest of a larger or smaller patient, now and then the other way round."""
    part = region(chest.lungs, chest.scan.grid, 60.0)
    scan, lungs = crop(chest.scan, part), chest.lungs[part]
    scale = rng.uniform(0.85, 1.1) * rng.uniform(0.92, 1.08, 3)
    x, y, z = (float(s * f) for s, f in zip(scan.grid.spacing_mm, scale, strict=True))
    data = scan.data
    if rng.random() < 0.5:
        data, lungs = data.flip(2), lungs.flip(2)
    grid = Grid(scan.grid.shape, (x, y, z), direction=scan.grid.direction)
    return Chest(Volume(grid, data.contiguous()), lungs.contiguous())


def _field_of_view(rng: np.random.Generator, points_mm: Tensor) -> Grid:
    """A grid around points (N, 3) of a resolution drawn at random."""
    plane, slices = rng.uniform(0.9, 1.5), rng.uniform(1.0, 2.5)
    low = points_mm.double().amin(0) - FIELD_OF_VIEW_MM - torch.from_numpy(rng.uniform(0, 4, 3))
    size = points_mm.double().amax(0) + FIELD_OF_VIEW_MM - low
    width, height, depth = (size / torch.tensor([plane, plane, slices])).ceil().long().tolist()
    x, y, z = low.tolist()
    return Grid((depth, height, width), (plane, plane, slices), (x, y, z))


def _seen(chest: Chest, grid: Grid, rng: np.random.Generator) -> tuple[Volume, Tensor]:
    """The scan as another scanner sees it, and its lungs."""
    soft = prepare(chest.scan, _finest(grid), WINDOW)
    data = resample(soft, grid, identity).data
    return _noisy(Volume(grid, data), rng), resample_mask(chest.lungs, chest.scan.grid, grid, identity)


def _breathed_out(
    chest: Chest, breath: DenseField, back: ExactInverse, grid: Grid, rng: np.random.Generator
) -> tuple[Volume, Tensor]:
    """The moving image and its lungs."""
    own = chest.scan.grid
    change = jacobian_determinant(breath)[None]
    soft = prepare(chest.scan, _finest(grid), WINDOW)
    lungs = gaussian(chest.lungs.float(), [SOFT_MM / s for s in reversed(own.spacing_mm)])
    data = resample(soft, grid, identity).data
    still = sample(lungs[None], own, grid.points_mm(data), 0.0)[0]
    data = torch.lerp(data, torch.full_like(data, TISSUE_HU), (still * 2).clamp_max(1.0))
    low, high = breath.grid.corners_mm().aminmax(dim=0)
    points_mm = grid.points_mm(data)
    inside = ((points_mm > low) & (points_mm < high)).all(-1)
    origin = back(points_mm[inside])
    share = sample(lungs[None], own, origin, 0.0)[0]
    near = share > 0.02
    origin, share = origin[near], share[near]
    density = (sample(soft.data[None], own, origin)[0] + 1000).clamp_min(0)
    density = torch.where(density < 850, density / sample(change, breath.grid, origin)[0], density)
    flat = inside.flatten().nonzero()[:, 0][near]
    values, mask = data.flatten(), torch.zeros(data.numel(), dtype=torch.bool)
    values[flat] = torch.lerp(values[flat], density - 1000, share)
    mask[flat] = share > 0.5
    return _noisy(Volume(grid, values.reshape(grid.shape)), rng), mask.reshape(grid.shape)


def _noisy(volume: Volume, rng: np.random.Generator) -> Volume:
    """The volume with noise as fine or coarse as a reconstruction leaves it, here and there more than elsewhere."""
    noise = torch.from_numpy(rng.standard_normal(volume.grid.shape, dtype=np.float32))
    noise = gaussian(noise, (float(rng.uniform(0, 0.9)),) * 3)
    noise *= float(np.exp(rng.uniform(*np.log(NOISE_HU)))) / noise.std()
    coarse = volume.grid.with_spacing(SPOTS_MM)
    spots = torch.from_numpy(rng.normal(scale=rng.uniform(0, 0.6), size=(1, *coarse.shape))).float().exp()
    return Volume(volume.grid, volume.data + noise * transfer(spots, coarse, volume.grid, (linear,) * 3)[0])


def _finest(grid: Grid) -> float:
    return min(grid.spacing_mm)
