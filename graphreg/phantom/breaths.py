"""Breaths for a chest that was scanned once: a smooth motion of its lungs, inhale -> exhale.

Measured ones are carried from another patient, lung box to lung box; drawn ones lift the lungs with the diaphragm. Both
get variations of their own: waves all over, places where the tissue is pulled, fissures along which it slides. None
folds.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from graphreg.core.fields import jacobian_determinant
from graphreg.core.grid import Grid
from graphreg.core.inversion import pull_back
from graphreg.core.records import DenseField, Displacements, Keypoints, Landmarks
from graphreg.interpolation.thin_plate import ThinPlate

LATTICE_MM = 3.0  # the motion is a field so far apart and linear between: that field is the exact truth
MARGIN_MM = 40.0  # of the lattice around the lungs: where the moving lungs may lie
JACOBIAN = (0.2, 3.5)  # range in which tissue stays tissue
KNOTS = 900  # of a measured breath
SMOOTHNESS_MM = (8.0, 80.0)  # of a measured breath, which is 2 to 3 mm off: the more, the less of its errors remains
WAVES = 12
PULLED_MM = (5.0, 35.0)  # range of the sizes of places that move apart from the rest
PULL = (0.03, 0.5)  # range of how far, in their sizes


@dataclass(frozen=True, eq=False)
class Box:
    """The box of a pair of lungs."""

    low_mm: Tensor  # (3,) float64
    size_mm: Tensor  # (3,) float64

    def relative(self, points_mm: Tensor) -> Tensor:
        """Points (N, 3) with the box as the unit cube."""
        return (points_mm - self.low_mm) / self.size_mm

    @classmethod
    def around(cls, points_mm: Tensor) -> "Box":
        """That of points (N, 3)."""
        low = points_mm.double().amin(0)
        return cls(low, points_mm.double().amax(0) - low)


def draw_breath(rng: np.random.Generator, lungs_mm: Tensor, measured: tuple[Landmarks, ...] = ()) -> DenseField:
    """A breath for lungs with the points (N, 3), after one of those measured or, now and then, by itself."""
    box = Box.around(lungs_mm)
    lattice = Grid.covering(lungs_mm, LATTICE_MM, MARGIN_MM)
    points_mm = lattice.points_mm(box.low_mm).reshape(-1, 3)
    if measured and rng.random() < 0.75:
        motion_mm = _carried(rng, points_mm, box, measured[rng.integers(len(measured))])
    else:
        motion_mm = _lifted(rng, points_mm, box)
    own_mm = waves(rng, points_mm, rng.uniform(0.0, 1.5)) + _slid(rng, points_mm, lungs_mm)
    own_mm = own_mm.T.reshape(3, *lattice.shape) + _pulled(rng, lattice, lungs_mm)
    still = torch.zeros(3, *lattice.shape)
    smooth = _unfolded(DenseField(lattice, still), motion_mm.T.reshape(still.shape).float(), lungs_mm)
    return _unfolded(smooth, own_mm.float(), lungs_mm)


def _carried(rng: np.random.Generator, points_mm: Tensor, box: Box, measured: Landmarks) -> Tensor:
    """Displacements (N, 3) of another patient at the like places of this one, more or less of them, or mirrored."""
    own = Box.around(measured.fixed_mm)
    chosen = torch.from_numpy(rng.permutation(len(measured.fixed_mm))[:KNOTS])
    keypoints = Keypoints(measured.fixed_mm[chosen])
    vectors_mm = measured.moving_mm[chosen] - keypoints.points_mm
    smoothness = _log_uniform(rng, SMOOTHNESS_MM)
    spline = ThinPlate(smoothness_mm=smoothness).fit(Displacements(keypoints, vectors_mm, torch.ones(len(chosen))))
    there = box.relative(points_mm)
    mirror = rng.random() < 0.5  # left for right
    if mirror:
        there[:, 0] = 1 - there[:, 0]
    motion_mm = spline(own.low_mm + there * own.size_mm) * (box.size_mm / own.size_mm)
    if mirror:
        motion_mm[:, 0] *= -1
    return motion_mm * rng.uniform(0.3, 1.25)


def _lifted(rng: np.random.Generator, points_mm: Tensor, box: Box) -> Tensor:
    """Displacements (N, 3) of lungs that their diaphragm lifts and their ribs narrow, the more the lower they lie."""
    x, y, z = box.relative(points_mm).unbind(1)
    depth = (1.1 - z).clamp_min(0)
    share = 1.5 * depth**2 / (depth**2 + 0.5)
    lift = rng.uniform(4, 45) * (1 + rng.uniform(-0.3, 0.3) * (x - 0.5) + rng.uniform(0, 0.5) * (y - 0.5))
    narrow, flat = rng.uniform(0, 0.06), rng.uniform(0, 0.1)
    motion = (narrow * (0.5 - x) * box.size_mm[0], flat * (1 - y) * box.size_mm[1] * 0.5, lift * share)
    shift = torch.from_numpy(rng.normal(scale=2.0, size=3))  # of the patient on the table
    return torch.stack(motion, 1) + shift


def waves(rng: np.random.Generator, points_mm: Tensor, height_mm: float) -> Tensor:
    """Displacements (N, 3) that vary from place to place over 30 to 140 mm, longer ones further."""
    lengths = rng.uniform(30, 140, WAVES)
    directions = rng.normal(size=(WAVES, 3))
    directions *= 2 * np.pi / (lengths * np.linalg.norm(directions, axis=1))[:, None]
    phases = torch.from_numpy(rng.uniform(0, 2 * np.pi, WAVES))
    heights = torch.from_numpy(rng.normal(size=(WAVES, 3)) * (lengths / 100)[:, None] * height_mm)
    return torch.cat(
        [torch.sin(p @ torch.from_numpy(directions).T + phases) @ heights for p in points_mm.split(1 << 15)]
    )


def _pulled(rng: np.random.Generator, lattice: Grid, lungs_mm: Tensor) -> Tensor:
    """Displacements (3, D, H, W) of places of the lungs, small and large, that move apart from the rest."""
    count = int(rng.integers(1, 120))
    centres_mm = lungs_mm[torch.from_numpy(rng.integers(len(lungs_mm), size=count))]
    widths = np.exp(rng.uniform(math.log(PULLED_MM[0]), math.log(PULLED_MM[1]), count))
    pulls = rng.normal(size=(count, 3)) * widths[:, None] * _log_uniform(rng, PULL)
    ends_mm = lattice.corners_mm()
    near = []
    for axis, size in zip((2, 1, 0), lattice.shape, strict=True):
        line = torch.linspace(float(ends_mm[0, axis]), float(ends_mm[-1, axis]), size, dtype=torch.float64)
        away = (line - centres_mm[:, axis, None]) / torch.from_numpy(widths)[:, None]
        near.append(torch.exp(-away.square() / 2))
    return torch.einsum("nc,nz,ny,nx->czyx", torch.from_numpy(pulls), *near)


def _slid(rng: np.random.Generator, points_mm: Tensor, lungs_mm: Tensor) -> Tensor:
    """Displacements (N, 3) of two sides of a plane or two along each other, over a few millimetres around it."""
    motion_mm = torch.zeros_like(points_mm)
    for _ in range(rng.integers(3)):
        normal = rng.normal(size=3)
        normal /= np.linalg.norm(normal)
        along = np.cross(normal, rng.normal(size=3)) * rng.uniform(0, 3)
        across = (points_mm - lungs_mm[rng.integers(len(lungs_mm))]) @ torch.from_numpy(normal)
        motion_mm += torch.tanh(across / rng.uniform(4, 12))[:, None] * torch.from_numpy(along)
    return motion_mm


def _log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """A number between the ends, as likely to be small as large."""
    return float(np.exp(rng.uniform(*np.log(ends))))


def _unfolded(field: DenseField, more_mm: Tensor, lungs_mm: Tensor) -> DenseField:
    """The field with more motion (3, D, H, W), as much of it as leaves the lungs no less or larger than tissue gets."""
    z, y, x = field.grid.to_index(lungs_mm).round().long().unique(dim=0).unbind(1)
    while True:
        moved = replace(field, displacement_mm=(field.displacement_mm + more_mm).contiguous())
        inside = jacobian_determinant(moved)[z, y, x]
        if JACOBIAN[0] <= float(inside.min()) and float(inside.max()) <= JACOBIAN[1]:
            return moved
        more_mm = more_mm * 0.75


@dataclass(frozen=True, eq=False)
class ExactInverse:
    """The way back of a field. Callable: points (..., 3) moving -> fixed, both in mm."""

    field: DenseField
    start: DenseField  # the way back, roughly

    def __call__(self, points_mm: Tensor) -> Tensor:
        """Where each point was."""
        flat = points_mm.reshape(-1, 3)
        parts = []
        for part in flat.split(1 << 16):
            parts.append(pull_back(self.field, part, self.start(part), 15))
        return torch.cat(parts).reshape(points_mm.shape)


def exact_inverse(field: DenseField) -> ExactInverse:
    """The inverse of a field that does not fold where its lattice holds both ends."""
    points_mm = field.grid.points_mm(field.displacement_mm)
    back_mm = pull_back(field, points_mm, points_mm, 20) - points_mm
    return ExactInverse(field, DenseField(field.grid, back_mm.movedim(-1, 0).contiguous()))
