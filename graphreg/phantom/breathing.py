"""Breathing out, in closed form: T = wall . slide . sway, from inhale to exhale.

``sway`` shifts tissue in plane, fading to nothing at the chest wall. ``slide`` lifts it with the diaphragm and lets the
cross-section follow the hull, so that the pleura slides along the wall. ``wall`` is the small motion of the rib cage.
Hence T maps the hull of the lungs exactly onto the hull moved with the wall.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphreg.core.grid import Grid, sample
from graphreg.phantom.thorax import Thorax

MODES = 12  # random waves of the local variation
CHUNK = 1 << 13  # points worked on at once: all their waves stay in cache
RESERVE_MM = 10.0  # tissue this far above the apex stands still
HALF_RISE = 0.5  # squared depth, in lung heights, at which a third of the lift is reached


@dataclass(frozen=True, eq=False, kw_only=True)
class Breathing:
    """Motion of one breath. Callable: points (N, 3) in mm, inhale -> exhale, as the dtype of the points."""

    thorax: Thorax
    lift_mm: float  # of the diaphragm
    tilt: float  # the back moves more than the front
    lean: float  # left and right differ
    sway_mm: float  # backwards, inside the lungs
    wall_shrink: tuple[float, float]  # of the rib cage in x and y
    waves: Tensor  # (K, 3) in radians per mm
    phases: Tensor  # (K,)
    amplitudes_mm: Tensor  # (K, 3)

    def __call__(self, points_mm: Tensor) -> Tensor:
        """Points (..., 3) of the inhale image to the exhale image, both in mm. Exact inside the lungs."""
        angles = points_mm @ self.waves.to(points_mm).T + self.phases.to(points_mm)
        variation = torch.sin(angles) @ self.amplitudes_mm.to(points_mm)
        x, y, z = points_mm.unbind(-1)
        depth = ((self.thorax.apex_mm + RESERVE_MM - z) / self.thorax.height_mm).clamp(min=0)
        share = (1 + HALF_RISE) * depth**2 / (depth**2 + HALF_RISE)
        inner = share * (1 - self.thorax.hull_power(points_mm)).clamp(min=0)

        tilted = 1 + self.tilt * y / self.thorax.half_depth_mm + self.lean * torch.tanh(x / 50)
        heart = 1 - 0.2 * torch.exp(-((x - 15) ** 2 + (y + 30) ** 2) / 60**2)
        lifted = z + share * (self.lift_mm * tilted * heart + variation[..., 2])
        ratio = self.thorax.narrowing(lifted) / self.thorax.narrowing(z)
        x = ratio * (x + inner * variation[..., 0])
        y = ratio * (y + inner * (self.sway_mm + variation[..., 1]))
        return self.wall(torch.stack((x, y, lifted), -1))

    def wall(self, points_mm: Tensor) -> Tensor:
        """Motion of the chest wall (..., 3), nearly nothing: the ribs come inwards, the spine stays."""
        scale, fix = self._wall(points_mm)
        return fix + scale * (points_mm - fix)

    def wall_inverse(self, points_mm: Tensor) -> Tensor:
        """Exhale points (..., 3) of the chest wall back to inhale."""
        scale, fix = self._wall(points_mm)
        return fix + (points_mm - fix) / scale

    def _wall(self, like: Tensor) -> tuple[Tensor, Tensor]:
        scale = like.new_tensor([1 - self.wall_shrink[0], 1 - self.wall_shrink[1], 1])
        return scale, like.new_tensor([0, self.thorax.half_depth_mm, 0])

    def jacobian(self, points_mm: Tensor) -> Tensor:
        """Local volume change (N,) at inhale points (N, 3), by automatic differentiation of the closed form."""
        return torch.cat([self._jacobian(part) for part in points_mm.split(CHUNK)])

    def _jacobian(self, points_mm: Tensor) -> Tensor:
        with torch.enable_grad():
            where = points_mm.detach().requires_grad_(True)
            moved = self(where).unbind(-1)
            rows = [torch.autograd.grad(m.sum(), where, retain_graph=i < 2)[0] for i, m in enumerate(moved)]
        return (rows[0] * torch.linalg.cross(rows[1], rows[2])).sum(-1)

    def inverse(self, points_mm: Tensor, start_mm: Tensor, iterations: int) -> Tensor:
        """Exhale points (N, 3) back to inhale by fixed-point iteration from a first guess."""
        parts = []
        for target, where in zip(points_mm.split(CHUNK), start_mm.split(CHUNK), strict=True):
            for _ in range(iterations):
                where = where + target - self(where)
            parts.append(where)
        return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class BreathingInverse:
    """The way back from exhale to inhale, started from a coarse lattice of it; error far below 0.01 mm."""

    breathing: Breathing
    lattice: Grid
    displacement_mm: Tensor  # (3, D, H, W), exhale -> inhale
    volume_change: Tensor  # (1, D, H, W), of breathing out, at inhale points of the same lattice

    def __call__(self, points_mm: Tensor) -> Tensor:
        """Exhale points (N, 3) to inhale."""
        start = points_mm + sample(self.displacement_mm, self.lattice, points_mm).movedim(0, -1)
        return self.breathing.inverse(points_mm, start, 4)

    def change(self, points_mm: Tensor) -> Tensor:
        """Jacobian determinant (N,) at inhale points (N, 3), interpolated."""
        return sample(self.volume_change, self.lattice, points_mm)[0]


def inverse_breathing(breathing: Breathing, grid: Grid, step_mm: float = 8.0) -> BreathingInverse:
    """Inverse of the motion for the points of a grid."""
    lattice = Grid.covering(grid.corners_mm(), step_mm, 30)
    points = lattice.points_mm(torch.zeros(())).reshape(-1, 3)
    back = breathing.inverse(points, points, 25) - points
    change = breathing.jacobian(points)
    return BreathingInverse(breathing, lattice, back.T.reshape(3, *lattice.shape), change.reshape(1, *lattice.shape))


def draw_breathing(rng: np.random.Generator, thorax: Thorax, lift_mm: tuple[float, float]) -> Breathing:
    """A breath of a given range of the diaphragm's lift."""
    lengths = rng.uniform(45, 140, MODES)
    directions = rng.normal(size=(MODES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    amplitudes = rng.normal(size=(MODES, 3)) * (lengths / 100)[:, None]
    return Breathing(
        thorax=thorax,
        lift_mm=float(rng.uniform(*lift_mm)),
        tilt=float(rng.uniform(0.1, 0.3)),
        lean=float(rng.uniform(-0.12, 0.12)),
        sway_mm=float(rng.uniform(1, 6)),
        wall_shrink=(float(rng.uniform(0.004, 0.015)), float(rng.uniform(0.01, 0.03))),
        waves=torch.as_tensor(2 * np.pi * directions / lengths[:, None]),
        phases=torch.as_tensor(rng.uniform(0, 2 * np.pi, MODES)),
        amplitudes_mm=torch.as_tensor(amplitudes),
    )
