"""Problems with known answers, on grids that forgive no mix-up of axes."""

import torch
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from graphreg.grid import Grid
from graphreg.records import DenseField, Volume


def grid_of(shape: tuple[int, int, int], spacing: list[float], origin: list[float], angles: list[float], flip: bool):
    """A grid turned by angles (degrees about x, y, z), its first axis mirrored where asked."""
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    if flip:
        rotation[:, 0] *= -1
    direction = tuple(tuple(row) for row in rotation.tolist())
    return Grid(shape, tuple(spacing), tuple(origin), direction)


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


def noise(grid: Grid, generator: torch.Generator) -> Volume:
    """Whole HU without any order."""
    return Volume(grid, torch.randint(-1024, 1500, grid.shape, generator=generator).float())


def affine_field(grid: Grid, matrix: Tensor, offset_mm: Tensor) -> DenseField:
    """The motion x -> matrix @ x + offset, which linear interpolation reproduces exactly; float64."""
    points_mm = grid.points_mm(matrix)
    return DenseField(grid, (points_mm @ matrix.T + offset_mm - points_mm).movedim(-1, 0))


MATRIX = torch.tensor([[1.1, 0.2, -0.1], [0.05, 0.9, 0.3], [-0.2, 0.1, 1.2]], dtype=torch.float64)
OFFSET_MM = torch.tensor([3.0, -7.0, 11.0], dtype=torch.float64)
