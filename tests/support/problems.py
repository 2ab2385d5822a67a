"""Problems with known answers, on grids that forgive no mix-up of axes."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from graphreg.core.cubes import label_grid
from graphreg.core.figures import Quality
from graphreg.core.filters import gaussian
from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, DenseField, Displacements, Keypoints, Volume
from graphreg.matching.graph import NearestNeighbours

T = TypeVar("T")


def present(value: T | None) -> T:
    """What may be absent and is there."""
    assert value is not None
    return value


Vector = tuple[float, float, float]


def vector(values: Sequence[float]) -> Vector:
    """Three numbers as grids want them."""
    x, y, z = values
    return x, y, z


def grid_of(
    shape: tuple[int, int, int], spacing: Sequence[float], origin: Sequence[float], angles: Sequence[float], flip: bool
) -> Grid:
    """A grid turned by angles (degrees about x, y, z), its first axis mirrored where asked."""
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    if flip:
        rotation[:, 0] *= -1
    return placed_grid(shape, spacing, origin, rotation.tolist())


def placed_grid(
    shape: Sequence[int], spacing: Sequence[float], origin: Sequence[float], direction: Sequence[Sequence[float]]
) -> Grid:
    """A grid of what lists and tensors hold."""
    depth, height, width = shape
    rows = [vector(row) for row in direction]
    return Grid((depth, height, width), vector(spacing), vector(origin), (rows[0], rows[1], rows[2]))


def scaled(grid: Grid, factor: float) -> Grid:
    """The grid that is larger about the origin of the world by a factor."""
    spacing, origin = ([factor * n for n in lengths] for lengths in (grid.spacing_mm, grid.origin_mm))
    return placed_grid(grid.shape, spacing, origin, grid.direction)


SMALL = Grid((4, 5, 11), (1.0, 2.0, 3.0), (-5.0, 0.0, 0.0))

OBLIQUE = grid_of((6, 7, 9), [0.7, 1.3, 2.5], [-123.4, 55.25, -301.125], [10.0, -20.0, 35.0], flip=True)
"""Oblique, anisotropic, not a cube, offset, left-handed."""

LARGER = grid_of((22, 23, 24), [2.0, 2.5, 3.0], [-86.5, 50.4, -316.9], [-15.0, 5.0, 120.0], flip=False)
"""Turned otherwise, and holding all of OBLIQUE with 12 mm to spare."""

grids = st.builds(
    grid_of,
    st.tuples(*[st.integers(2, 9)] * 3),
    st.lists(st.floats(0.4, 5.0), min_size=3, max_size=3),
    st.lists(st.floats(-500.0, 500.0), min_size=3, max_size=3),
    st.lists(st.floats(-180.0, 180.0), min_size=3, max_size=3),
    st.booleans(),
)


def points_inside(grid: Grid, count: int, generator: torch.Generator) -> Tensor:
    """Points (count, 3) in mm, float64, between the first and the last voxel centres."""
    where = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    return grid.to_mm(where * (torch.tensor(grid.shape) - 1))


def displacements(points_mm: Tensor, vectors_mm: Tensor, confidence: Tensor | None = None) -> Displacements:
    """The motion of keypoints, all of them sure where nothing else is said."""
    sure = points_mm.new_ones(len(points_mm)) if confidence is None else confidence
    return Displacements(Keypoints(points_mm), vectors_mm, sure)


def noise(grid: Grid, generator: torch.Generator) -> Volume:
    """Whole HU without any order."""
    return Volume(grid, torch.randint(-1024, 1500, grid.shape, generator=generator).float())


def affine_field(grid: Grid, matrix: Tensor, offset_mm: Tensor) -> DenseField:
    """The motion x -> matrix @ x + offset, which linear interpolation reproduces exactly; float64."""
    points_mm = grid.points_mm(matrix)
    return DenseField(grid, (points_mm @ matrix.T + offset_mm - points_mm).movedim(-1, 0))


def smooth_noise(grid: Grid, generator: torch.Generator, sigma: float = 1.5) -> Volume:
    """Blobs of some voxels' size between about -900 and -500 HU; float64."""
    white = torch.randn(grid.shape, generator=generator, dtype=torch.float64)
    soft = gaussian(white, (sigma,) * 3)
    return Volume(grid, -700 + 70 * soft / soft.std())


def stored_otherwise(
    grid: Grid, data: Tensor, axes: tuple[int, int, int], flips: tuple[int, ...]
) -> tuple[Grid, Tensor]:
    """The same image, its array (D, H, W) permuted and then flipped: every value stays at its place in mm."""
    stored = data.permute(axes).flip(flips)
    first = torch.zeros(3, dtype=torch.float64)
    columns = torch.tensor(grid.direction, dtype=torch.float64)
    direction = torch.empty(3, 3, dtype=torch.float64)
    for new, old in enumerate(axes):
        flip = new in flips
        first[old] = grid.shape[old] - 1 if flip else 0
        direction[:, 2 - new] = columns[:, 2 - old] * (-1 if flip else 1)
    spacing = [list(reversed(grid.spacing_mm))[old] for old in axes]
    return placed_grid(stored.shape, spacing[::-1], grid.to_mm(first).tolist(), direction.tolist()), stored


def bowl(centres_mm: Tensor, radius_mm: float = 12.0, step_mm: float = 3.0, depth: float = 0.05) -> Tensor:
    """Costs (N, L, L, L), least at the centres (N, 3) and growing with the squared distance in label steps."""
    offsets_mm = label_grid(radius_mm, step_mm).points_mm(centres_mm)
    steps = (offsets_mm - centres_mm[:, None, None, None]) / step_mm
    return depth * steps.square().sum(-1)


def costs_of(costs: Tensor, points_mm: Tensor, neighbours: int = 6, radius_mm: float = 12.0, step_mm: float = 3.0):
    """A cost volume at some points and their graph."""
    keypoints = Keypoints(points_mm)
    graph = NearestNeighbours(neighbours=neighbours)(keypoints)
    return CostVolume(keypoints, label_grid(radius_mm, step_mm), costs), graph


def noisy_costs(generator: torch.Generator, count: int = 60):
    """Costs of a smooth motion with noise that misleads some of the keypoints, and the graph; float64."""
    points_mm = 15 * torch.randn(count, 3, generator=generator, dtype=torch.float64)
    clear = bowl(points_mm.roll(1, 1) * 0.1 + points_mm.new_tensor([3.0, -2.0, 1.0]))
    return costs_of(clear.clamp_max(0.4) + 0.05 * torch.randn(clear.shape, generator=generator).double(), points_mm)


MATRIX = torch.tensor([[1.1, 0.2, -0.1], [0.05, 0.9, 0.3], [-0.2, 0.1, 1.2]], dtype=torch.float64)
OFFSET_MM = torch.tensor([3.0, -7.0, 11.0], dtype=torch.float64)

GOOD = Quality(  # of a right pair, inhale to exhale
    similarity_before=0.75,
    similarity_after=0.92,
    ncc_before=0.5,
    ncc_after=0.92,
    local_ncc=0.9,
    matched_percent=100.0,
    seen_percent=100.0,
    mask_dice=0.98,
    folding_percent=0.0,
    sdlogj=0.25,
    mean_jacobian=0.8,
    volume_ratio=0.8,
    anatomy={
        "fixed_lung_ml": 5000.0,
        "fixed_lung_median_hu": -860.0,
        "fixed_lung_tissue_percent": 3.0,
        "moving_lung_ml": 4000.0,
        "moving_lung_median_hu": -800.0,
        "moving_lung_tissue_percent": 4.0,
    },
)
