"""Where voxels sit: index <-> millimetres <-> sampler.

The only file that knows how the one becomes the other: whoever wants millimetres asks a grid for them. Points are
(x, y, z) in LPS millimetres, arrays are (D, H, W) = (z, y, x), and the centre of voxel (0, 0, 0) lies at ``origin_mm``,
as in ITK.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

Triple = tuple[float, float, float]
EXACT = torch.empty(0, dtype=torch.float64)  # geometry is worked out in float64 on the CPU, then sent to the device
EDGE = 1e-6  # a point on the very border of a voxel lies in it, whatever the rounding
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Grid:
    """A regular lattice of voxel centres in the patient's space.

    Raises:
        ValueError: a size below one, a spacing that is not positive, or a direction that is not a rotation or
            reflection.
    """

    shape: tuple[int, int, int]  # (D, H, W) voxels
    spacing_mm: Triple  # (x, y, z)
    origin_mm: Triple = (0.0, 0.0, 0.0)  # centre of the first voxel, (x, y, z) LPS
    direction: tuple[Triple, Triple, Triple] = IDENTITY  # column j: where index axis j (x, y, z) points

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"Grid shape must be three sizes (D, H, W) of at least 1, got {self.shape}")
        if len(self.spacing_mm) != 3 or not all(math.isfinite(s) and s > 0 for s in self.spacing_mm):
            raise ValueError(f"Grid spacing must be three positive numbers in mm (x, y, z), got {self.spacing_mm}")
        if len(self.origin_mm) != 3 or not all(math.isfinite(o) for o in self.origin_mm):
            raise ValueError(f"Grid origin must be three finite numbers in mm (x, y, z), got {self.origin_mm}")
        rotation = torch.tensor(self.direction, dtype=torch.float64)
        if rotation.shape != (3, 3) or not torch.allclose(rotation @ rotation.T, torch.eye(3).double(), atol=1e-3):
            raise ValueError(f"Grid direction must be an orthonormal 3 x 3 matrix, got {self.direction}")

    @classmethod
    def covering(cls, points_mm: Tensor, spacing_mm: float, margin_mm: float = 0.0) -> Self:
        """Isotropic grid along the LPS axes around points (N, 3), with a margin on every side."""
        low = points_mm.double().amin(0) - margin_mm
        extent = points_mm.double().amax(0) + margin_mm - low
        size = [math.ceil(e / spacing_mm - 1e-6) + 1 for e in extent.tolist()]
        x, y, z = low.tolist()
        return cls((size[2], size[1], size[0]), (spacing_mm,) * 3, (x, y, z))

    @property
    def voxels(self) -> int:
        return math.prod(self.shape)

    @property
    def is_isotropic(self) -> bool:
        """Whether the three spacings agree to a thousandth."""
        return max(self.spacing_mm) - min(self.spacing_mm) <= 1e-3 * min(self.spacing_mm)

    @property
    def is_upright(self) -> bool:
        """Whether the index axes point along x, y and z of the patient."""
        pairs = zip(sum(self.direction, ()), sum(IDENTITY, ()), strict=True)
        return all(abs(a - b) < 1e-3 for a, b in pairs)

    def matrix(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """A (3, 3) and o (3,) with point = A @ index + o, both in (x, y, z) order, as the dtype and device of like."""
        columns = torch.tensor(self.direction, dtype=torch.float64) * torch.tensor(self.spacing_mm, dtype=torch.float64)
        origin = torch.tensor(self.origin_mm, dtype=torch.float64)
        return columns.to(like), origin.to(like)

    def to_mm(self, index: Tensor) -> Tensor:
        """Fractional voxel indices (..., 3) in (z, y, x) to points (..., 3) in mm (x, y, z)."""
        columns, origin = self.matrix(index)
        return index.flip(-1) @ columns.T + origin

    def to_index(self, points_mm: Tensor) -> Tensor:
        """Points (..., 3) in mm (x, y, z) to fractional voxel indices (..., 3) in (z, y, x)."""
        columns, origin = self.matrix(points_mm)
        return ((points_mm - origin) @ torch.linalg.inv(columns.double()).to(columns).T).flip(-1)

    def to_sampler(self, points_mm: Tensor) -> Tensor:
        """Points (..., 3) in mm to the (x, y, z) coordinates of ``grid_sample(align_corners=True)``."""
        columns, origin = self.matrix(EXACT)
        scale = 2 / columns.new_tensor([max(n - 1, 1) for n in reversed(self.shape)])
        matrix = scale[:, None] * torch.linalg.inv(columns)
        return _affine(points_mm, matrix, -1 - matrix @ origin)

    def contains(self, points_mm: Tensor) -> Tensor:
        """Whether each point (..., 3) lies in a voxel of the grid, half a voxel beyond the outer centres included."""
        columns, origin = self.matrix(EXACT)
        half = columns.new_tensor(self.shape[::-1]) / 2
        matrix = torch.linalg.inv(columns) / half[:, None]
        return (_affine(points_mm, matrix, (0.5 - half) / half - matrix @ origin).abs() <= 1 + EDGE).all(-1)

    def points_mm(self, like: Tensor, slices: slice = slice(None)) -> Tensor:
        """Voxel centres (D, H, W, 3) in mm, of a range of slices along D."""
        columns, origin = self.matrix(EXACT)
        z, y, x = (torch.arange(n)[:, None] * columns[:, 2 - a] for a, n in enumerate(self.shape))
        return (z[slices, None] + y + origin).to(like)[:, :, None] + x.to(like)

    def corners_mm(self) -> Tensor:
        """Centres (8, 3) of the eight corner voxels."""
        ends = [torch.tensor([0.0, n - 1.0], dtype=torch.float64) for n in self.shape]
        return self.to_mm(torch.cartesian_prod(*ends))

    def with_spacing(self, spacing_mm: float) -> Self:
        """Isotropic grid with the same axes that reaches at least as far as this one, on every side equally."""
        lengths = [(n - 1) * s for n, s in zip(self.shape, reversed(self.spacing_mm), strict=True)]
        shape = tuple(max(math.ceil(length / spacing_mm - 1e-6) + 1, 2) for length in lengths)
        overhang = [(n - 1) * spacing_mm - length for n, length in zip(shape, lengths, strict=True)]
        first = [-o / 2 / s for o, s in zip(overhang, reversed(self.spacing_mm), strict=True)]
        x, y, z = self.to_mm(EXACT.new_tensor(first)).tolist()
        return type(self)((shape[0], shape[1], shape[2]), (spacing_mm,) * 3, (x, y, z), self.direction)

    def cropped(self, low: Sequence[int], shape: tuple[int, int, int]) -> Self:
        """Part of this grid that starts at voxel low (z, y, x)."""
        x, y, z = self.to_mm(torch.tensor(low, dtype=torch.float64)).tolist()
        return type(self)(shape, self.spacing_mm, (x, y, z), self.direction)

    def part(self, spans: Sequence[slice]) -> Self:
        """The box of this grid at a range of indices per axis (z, y, x), as ``box`` gives them."""
        depth, height, width = (span.stop - span.start for span in spans)
        return self.cropped([span.start for span in spans], (depth, height, width))

    def slabs(self, voxels: int = 1 << 20) -> Iterator[slice]:
        """Ranges of slices along D that hold about so many voxels each; bounds the memory of dense work."""
        step = max(voxels // max(self.shape[1] * self.shape[2], 1), 1)
        for first in range(0, self.shape[0], step):
            yield slice(first, min(first + step, self.shape[0]))


def _affine(points: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """matrix @ p + offset for points (..., 3); in one sweep where the axes do not mix."""
    offset = offset.to(points)
    if bool((matrix - matrix.diagonal().diag()).any()):
        return points @ matrix.T.to(points) + offset
    return torch.addcmul(offset, points, matrix.diagonal().to(points))


def box(mask: Tensor, margin: Sequence[int] = (0, 0, 0)) -> tuple[slice, slice, slice]:
    """Smallest box (z, y, x) of indices around the set voxels of a mask (D, H, W), grown by a margin in voxels."""
    spans = []
    for axis, (size, grow) in enumerate(zip(mask.shape, margin, strict=True)):
        occupied = mask.any(dim=[a for a in range(3) if a != axis]).nonzero()
        spans.append(slice(max(int(occupied[0]) - grow, 0), min(int(occupied[-1]) + grow + 1, size)))
    return spans[0], spans[1], spans[2]


def mask_corners_mm(mask: Tensor, grid: Grid) -> Tensor:
    """Corners (8, 3) in mm, float64, of the box of indices around the set voxels of a mask (D, H, W)."""
    ends = [torch.tensor([span.start, span.stop - 1], dtype=torch.float64) for span in box(mask)]
    return grid.to_mm(torch.cartesian_prod(*ends))


def mask_points_mm(mask: Tensor, grid: Grid) -> Tensor:
    """Positions (N, 3) in mm, float64, of the set voxels of a mask (D, H, W)."""
    return grid.to_mm(mask.nonzero().double())


def mask_volume_mm3(mask: Tensor, grid: Grid) -> float:
    """Volume of the set voxels."""
    x, y, z = grid.spacing_mm
    return float(mask.sum()) * x * y * z


def sample(data: Tensor, grid: Grid, points_mm: Tensor, outside: float | None = None, nearest: bool = False) -> Tensor:
    """Values (C, ...) of a dense array (C, D, H, W) on a grid at points (..., 3) in mm, trilinear or nearest.

    Beyond the grid the border value goes on, or ``outside`` is given.
    """
    where = grid.to_sampler(points_mm).to(data.dtype)
    rows = where.shape[0] if where.ndim > 2 else 1  # the work on the CPU is shared out by the batch
    mode = "nearest" if nearest else "bilinear"
    batch = data[None].expand(rows, -1, -1, -1, -1)
    values = F.grid_sample(batch, where.reshape(rows, 1, 1, -1, 3), mode, "border", align_corners=True)
    values = values.movedim(1, 0).reshape(data.shape[0], *points_mm.shape[:-1])
    if outside is None:
        return values
    return torch.where(grid.contains(points_mm), values, values.new_tensor(outside))
