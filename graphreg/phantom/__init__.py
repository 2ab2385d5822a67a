"""A breathing lung phantom: an inhale and an exhale chest CT of nobody, with the exact motion between them.

The inhale image is fixed, the exhale image moving. The motion is a closed form that can be asked anywhere in the lungs,
so nothing of the truth is interpolated. Every seed is another patient and another breath.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import ImagePair, Landmarks, Volume
from graphreg.core.settings import Settings
from graphreg.phantom.breathing import draw_breathing
from graphreg.phantom.rendering import Chest, add_noise, draw_texture, render
from graphreg.phantom.thorax import Thorax, draw_thorax
from graphreg.phantom.vessels import draw_plumbing

__all__ = ["Phantom", "PhantomConfig", "make_phantom"]

COARSEST_MM = 100.0


@dataclass(frozen=True, kw_only=True)
class PhantomConfig(Settings):
    """What is scanned and how. The sizes of the chest itself vary with the seed around those of an adult.

    Raises:
        InputError: a length or count that is not positive, or a motion that would fold the lungs.
    """

    fixed_spacing_mm: tuple[float, float] = (1.4, 2.5)  # in plane, between slices
    moving_spacing_mm: tuple[float, float] = (1.5, 2.0)
    margin_mm: float = 26.0  # of the field of view around the lungs, in plane
    lift_mm: tuple[float, float] = (18.0, 46.0)  # range of the diaphragm's motion; the lungs' mean is about half of it
    lung_hu: tuple[float, float] = (-900.0, -865.0)  # range of parenchyma between vessels at inhale
    noise_hu: float = 22.0  # standard deviation
    vessel_spacing_mm: float = 9.0  # between end points of one vessel tree
    thinnest_vessel_mm: float = 0.65  # radius
    texture_mm: float = 2.5  # grain of parenchyma
    landmarks: int = 300

    def check(self) -> None:
        lengths = (*self.fixed_spacing_mm, *self.moving_spacing_mm, self.vessel_spacing_mm, self.thinnest_vessel_mm)
        if min(*lengths, self.texture_mm, self.landmarks) <= 0:
            raise InputError(f"Phantom spacings, radii in mm and counts must be positive, got {self}")
        if max(self.fixed_spacing_mm + self.moving_spacing_mm) > COARSEST_MM:
            raise InputError(f"Phantom spacings must be at most {COARSEST_MM:g} mm, which is a lung, got {self}")
        if not 0 <= self.lift_mm[0] <= self.lift_mm[1] <= 60:
            raise InputError(f"Phantom lift must be a range within 0 to 60 mm, got {self.lift_mm}")
        if min(self.margin_mm, self.noise_hu) < 0:
            raise InputError(f"Phantom margin and noise must not be negative, got {self.margin_mm}, {self.noise_hu}")


@dataclass(frozen=True, eq=False)
class Phantom:
    """An image pair with the exact motion between its lungs."""

    pair: ImagePair  # with exact masks of the lungs
    landmarks: Landmarks  # at branchings of vessels
    motion: Callable[[Tensor], Tensor]  # points (N, 3), fixed -> moving, mm; exact inside the lungs
    jacobian: Callable[[Tensor], Tensor]  # points (N, 3) in the fixed image -> determinant (N,) of the motion


def make_phantom(seed: int = 0, config: PhantomConfig = PhantomConfig()) -> Phantom:
    """A patient and a breath, the same for the same seed; the anatomy does not depend on the spacing."""
    shape, breath, inside, grain, scanner = np.random.default_rng(seed).spawn(5)
    thorax = draw_thorax(shape)
    breathing = draw_breathing(breath, thorax, config.lift_mm)
    plumbing = draw_plumbing(inside, thorax, config.vessel_spacing_mm, config.thinnest_vessel_mm)
    chest = Chest(
        thorax, plumbing, *draw_texture(grain, thorax, config.texture_mm), lung_hu=grain.uniform(*config.lung_hu)
    )
    scans = []
    for spacing, motion in ((config.fixed_spacing_mm, None), (config.moving_spacing_mm, breathing)):
        grid = field_of_view(scanner, thorax, spacing, config.margin_mm)
        hu, mask = render(chest, grid, motion)
        scans.append((Volume(grid, add_noise(hu, scanner, config.noise_hu), "int16"), mask))
    (fixed, fixed_mask), (moving, moving_mask) = scans
    points = distinctive_points(plumbing.branchings_mm, thorax, config.landmarks)
    pair = ImagePair(fixed, moving, fixed_mask, moving_mask)
    return Phantom(pair, Landmarks(points, breathing(points)), breathing, breathing.jacobian)


def field_of_view(rng: np.random.Generator, thorax: Thorax, spacing_mm: tuple[float, float], margin_mm: float) -> Grid:
    """Grid around the lungs, somewhere within a few voxels."""
    plane, slices = spacing_mm
    size = torch.tensor([thorax.half_width_mm + margin_mm, thorax.half_depth_mm + margin_mm, thorax.height_mm / 2 + 16])
    low = -size + torch.from_numpy(rng.uniform(-4, 4, 3)) - torch.tensor([0, 0, 12])
    width, height, depth = (2 * size / torch.tensor([plane, plane, slices])).ceil().long().tolist()
    x, y, z = low.tolist()
    return Grid((depth, height, width), (plane, plane, slices), (x, y, z))


def distinctive_points(candidates_mm: np.ndarray, thorax: Thorax, count: int) -> Tensor:
    """Up to ``count`` branchings (N, 3) well inside the lungs, spread by farthest-point sampling."""
    points = torch.as_tensor(candidates_mm)
    points = points[thorax.lung(points) < -5]
    chosen = [0]
    distance = (points - points[0]).norm(dim=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (points - points[chosen[-1]]).norm(dim=1))
    return points[chosen]
