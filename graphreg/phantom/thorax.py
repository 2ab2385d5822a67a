"""The chest at inhale, as functions of points: where is lung, which lobe, what tissue.

A level is negative inside, positive outside and about a distance in mm near its zero. Axes are LPS, so the right lung
lies at x < 0, the back at y > 0 and the head at z > 0; the origin lies in the middle of the chest.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

EXPONENT = 2.5  # of the superellipse that is the chest's cross-section
RIB_PITCH_MM = 27.0
VERTEBRA_PITCH_MM = 25.0


@dataclass(frozen=True, kw_only=True)
class Thorax:
    """Sizes of one chest, in mm. The lungs fill its hull but for mediastinum, heart, spine and what the domes lift."""

    half_width_mm: float  # of the hull, left to right
    half_depth_mm: float  # front to back
    height_mm: float  # lowest lung to apex
    dome_mm: float  # height of the right dome of the diaphragm
    dome_step_mm: float  # how much lower the left one is
    dome_fall_mm: tuple[float, float, float]  # from its top to the side, the back, the front
    heart_mm: tuple[float, float, float]  # half axes
    mediastinum_mm: float  # half width behind the sternum's middle
    fissure_tilt: float  # rise of the oblique fissure towards the back
    rib_phase: float  # 0..1

    @property
    def apex_mm(self) -> float:
        return self.height_mm / 2

    @property
    def hilum_mm(self) -> float:
        """Height of both hila."""
        return 0.10 * self.height_mm

    def narrowing(self, z: Tensor) -> Tensor:
        """Size of the hull's cross-section at a height, 1 in the lower chest and less towards the apex."""
        above = (2 * z / self.height_mm).clamp(min=0, max=1.2)
        return 1 - 0.38 * above**3

    def hull_power(self, points_mm: Tensor) -> Tensor:
        """0 in the middle of the chest, 1 on the pleura of the chest wall: smooth in points (..., 3)."""
        x, y, z = points_mm.unbind(-1)
        narrow = self.narrowing(z)
        return _power(x / (self.half_width_mm * narrow)) + _power(y / (self.half_depth_mm * narrow))

    def hull(self, points_mm: Tensor) -> Tensor:
        """Level of the inner side of the chest wall, in the radial direction."""
        return _radial(self.hull_power(points_mm), points_mm)

    def diaphragm(self, points_mm: Tensor) -> Tensor:
        """Level of what lies below the diaphragm."""
        x, y, z = points_mm.unbind(-1)
        across = (x.abs() - 0.42 * self.half_width_mm) / (0.58 * self.half_width_mm)
        along = y / self.half_depth_mm + 0.2
        side, back, front = self.dome_fall_mm
        dome = self.dome_mm - self.dome_step_mm * torch.sigmoid(x / 8)
        dome = dome - side * across.abs() ** 3 - back * along.clamp(min=0) ** 2 - front * along.clamp(max=0) ** 2
        return (z - dome) / 1.25

    def heart(self, points_mm: Tensor) -> Tensor:
        """Level of the heart, lying on the diaphragm with its apex to the left and front."""
        x, y, z = points_mm.unbind(-1)
        a, b, c = self.heart_mm
        z = z - (self.dome_mm + 0.55 * c)
        x, z = x - 20 + 0.35 * z, z + 0.25 * (x - 20)
        return (((x / a) ** 2 + ((y + 30 + 0.2 * x) / b) ** 2 + (z / c) ** 2 + 1e-6).sqrt() - 1) * b

    def aorta(self, points_mm: Tensor) -> Tensor:
        """Level of the descending aorta, in front of the spine on the left, and of its arch."""
        x, y, z = points_mm.unbind(-1)
        arch = self.hilum_mm + 32
        down = ((x - 20) ** 2 + (y - 0.42 * self.half_depth_mm) ** 2 + (z - arch).clamp(min=0) ** 2 + 1e-6).sqrt() - 13
        over = ((x - 16) ** 2 / 1.6 + (z - arch) ** 2 + (y.abs() - 28).clamp(min=0) ** 2 + 1e-6).sqrt() - 14
        return torch.minimum(down, over)

    def spine(self, points_mm: Tensor) -> Tensor:
        """Level of the vertebral bodies with the soft tissue around them."""
        x, y, _ = points_mm.unbind(-1)
        return ((x / 1.15) ** 2 + (y - self.half_depth_mm + 24) ** 2 + 1e-6).sqrt() - 25

    def mediastinum(self, points_mm: Tensor) -> Tensor:
        """Level of the wall between the lungs with the roots of both."""
        x, y, z = points_mm.unbind(-1)
        low = torch.sigmoid((self.hilum_mm - z) / 25)
        half = 5 + self.mediastinum_mm * torch.exp(-(((y - 4 + 8 * low) / 36) ** 2))
        root = torch.exp(-(((z - self.hilum_mm) / 20) ** 2) - ((y - 8) / 20) ** 2)
        return (half + 9 * root - (x - 2).abs()) / 1.2

    def lung(self, points_mm: Tensor) -> Tensor:
        """Level of both lungs (...) at points (..., 3)."""
        x, y, z = points_mm.unbind(-1)
        top = self.apex_mm - 14 * ((x.abs() - 52) / 42) ** 2 - 18 * ((y - 12) / 55) ** 2
        outer = _smooth_maximum(self.hull(points_mm) + 1, (z - top) / 1.3, 14)
        middle = _smooth_maximum(self.mediastinum(points_mm), -self.heart(points_mm), 12)
        middle = _smooth_maximum(middle, -self.aorta(points_mm), 6)
        middle = _smooth_maximum(middle, -self.spine(points_mm), 8)
        return _smooth_maximum(_smooth_maximum(outer, middle, 8), -self.diaphragm(points_mm), 4)

    def fissures(self, points_mm: Tensor) -> tuple[Tensor, Tensor]:
        """Height over the oblique fissure and over the right lung's horizontal one, in mm across the surface."""
        x, y, z = points_mm.unbind(-1)
        bend = 7 * torch.sin(x / 31 + y / 47)
        oblique = (z - self.hilum_mm + 6 - self.fissure_tilt * y - bend) / (1 + self.fissure_tilt**2) ** 0.5
        return oblique, z - self.hilum_mm - 6 + 0.12 * (y + x) + 0.5 * bend

    def lobe(self, points_mm: Tensor) -> Tensor:
        """Lobe 0..4 of points in the lungs: right lower, middle, upper, left lower, upper."""
        oblique, horizontal = self.fissures(points_mm)
        right = torch.where(oblique < 0, 0, torch.where(horizontal < 0, 1, 2))
        return torch.where(points_mm[..., 0] < 0, right, torch.where(oblique < 0, 3, 4))


def draw_thorax(rng: np.random.Generator) -> Thorax:
    """A chest of an adult."""

    def about(value: float, spread: float) -> float:
        return float(value * (1 + spread * rng.uniform(-1, 1)))

    size, height = about(1, 0.06), about(245, 0.07)
    return Thorax(
        half_width_mm=size * about(141, 0.03),
        half_depth_mm=size * about(97, 0.06),
        height_mm=height,
        dome_mm=height * rng.uniform(-0.2, -0.12),
        dome_step_mm=about(12, 0.6),
        dome_fall_mm=(about(48, 0.2), about(68, 0.15), about(42, 0.2)),
        heart_mm=(size * about(56, 0.1), size * about(47, 0.1), size * about(47, 0.1)),
        mediastinum_mm=about(24, 0.12),
        fissure_tilt=about(0.8, 0.15),
        rib_phase=float(rng.uniform()),
    )


def core_tissue(thorax: Thorax, points_mm: Tensor, texture: Tensor) -> Tensor:
    """HU (N,) of what lies within the chest wall beside lung: heart, aorta, mediastinal fat, liver, spleen."""
    x = points_mm[:, 0]
    organs = torch.minimum(thorax.heart(points_mm) + 3, thorax.aorta(points_mm))
    fat = torch.sigmoid(organs / 1.2) * torch.sigmoid(3 * texture - 0.5)
    upper = 42 - 125 * fat
    lower = torch.where(x < 15, 58.0, 46 - 110 * torch.sigmoid(6 * texture - 8)) + 6 * texture
    return torch.lerp(lower, upper, occupancy(-thorax.diaphragm(points_mm), 3))


def wall_tissue(thorax: Thorax, points_mm: Tensor, texture: Tensor) -> Tensor:
    """HU (N,) of the chest wall, the spine and the air around the body."""
    x, y, z = points_mm.unbind(-1)
    wide, deep = thorax.half_width_mm + 36, thorax.half_depth_mm + 34
    skin = _radial(_power(x / wide) + _power((y - 4) / deep), points_mm)
    fat = torch.maximum(occupancy(-skin - 11, 4), torch.sigmoid(5 * texture - 6))
    tissue = 48 - 150 * fat + 5 * texture
    for level, cortex, marrow in (_ribs(thorax, points_mm), _sternum(thorax, points_mm), _vertebrae(thorax, points_mm)):
        bone = torch.lerp(marrow + 40 * texture, torch.as_tensor(cortex), torch.exp(-(((level + 1.5) / 1.6) ** 2)))
        tissue = torch.lerp(tissue, bone, occupancy(level, 1.5))
    canal = ((x / 1.2) ** 2 + (y - thorax.half_depth_mm - 4) ** 2).sqrt() - 8
    tissue = torch.lerp(tissue, torch.full_like(tissue, 25), occupancy(canal, 1.5))
    return torch.lerp(tissue.new_full(tissue.shape, -1000), tissue, occupancy(skin, 2))


def occupancy(level: Tensor, width_mm: float) -> Tensor:
    """Share of a voxel that lies inside, for a border seen through a slice of that width."""
    return (0.5 - level / width_mm).clamp(0, 1)


def _ribs(thorax: Thorax, points_mm: Tensor) -> tuple[Tensor, float, Tensor]:
    x, y, z = points_mm.unbind(-1)
    phase = (z + 0.05 * x.abs() - 0.5 * y) / RIB_PITCH_MM + thorax.rib_phase
    along = (phase - phase.round()) * RIB_PITCH_MM / 1.12
    across = thorax.hull(points_mm) - 5.5
    level = ((across / 3.8) ** 2 + (along / 6.5) ** 2 + 1e-6).sqrt() * 4.4 - 4.4
    cartilage = torch.sigmoid((48 - x.abs()) / 4) * torch.sigmoid(-y / 10)
    near_midline = (24 - x.abs()).clamp(min=0)
    return level + near_midline, 600.0, 240 - 130 * cartilage


def _sternum(thorax: Thorax, points_mm: Tensor) -> tuple[Tensor, float, Tensor]:
    x, y, z = points_mm.unbind(-1)
    front = -thorax.half_depth_mm * thorax.narrowing(z) - 10
    plate = (((x / 19) ** 4 + ((y - front) / 6) ** 4 + 1e-6) ** 0.25 - 1) * 6
    return torch.maximum(plate, thorax.dome_mm + 10 - z), 420.0, torch.full_like(x, 160)


def _vertebrae(thorax: Thorax, points_mm: Tensor) -> tuple[Tensor, float, Tensor]:
    x, y, z = points_mm.unbind(-1)
    back = y - thorax.half_depth_mm
    along = torch.remainder(z / VERTEBRA_PITCH_MM + thorax.rib_phase, 1) - 0.5
    gap = along.abs() * VERTEBRA_PITCH_MM - 0.4 * VERTEBRA_PITCH_MM
    body = ((x / 1.1) ** 2 + (back + 22) ** 2 + 1e-6).sqrt() - 17
    arch = ((x / 1.3) ** 2 + (back - 4) ** 2 + 1e-6).sqrt() - 13
    process = torch.maximum(x.abs() - 4, (back - 24).abs() - 14) + gap.clamp(min=0)
    wings = torch.maximum((back - 6).abs() - 5, x.abs() - 32) + (gap + 4).clamp(min=0)
    level = torch.minimum(torch.minimum(torch.maximum(body, gap), arch), torch.minimum(process, wings))
    return level, 480.0, torch.full_like(x, 190)


def _power(ratio: Tensor) -> Tensor:
    """|ratio|^EXPONENT, which two products and a root make faster than a power."""
    size = ratio.abs()
    return size * size * (size + 1e-12).sqrt()


def _radial(power: Tensor, points_mm: Tensor) -> Tensor:
    """Distance in mm along the radius to where the superellipse's power is one."""
    shrink = torch.exp(power.clamp(min=1e-6).log() / -EXPONENT)
    return (1 - shrink) * points_mm[..., :2].norm(dim=-1)


def _smooth_maximum(a: Tensor, b: Tensor, blend_mm: float) -> Tensor:
    """Maximum of two levels with the edge between them rounded."""
    return torch.maximum(a, b) + (blend_mm - (a - b).abs()).clamp(min=0) ** 2 / (4 * blend_mm)
