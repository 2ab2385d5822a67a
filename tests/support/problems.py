"""Problems with known answers, on grids that forgive no mix-up of axes."""

import torch
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from graphreg.core.filters import gaussian
from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, DenseField, Keypoints, Quality, Volume
from graphreg.matching.cost_volume import label_grid
from graphreg.matching.graph import GraphConfig, connect

# settings that suit the coarse phantom
FAST = """
field_spacing_mm = 5.0
[levels.wide]
spacing_mm = 3.0
keypoints = {count = 400}
descriptors = {dilation_mm = 3.0, radius_mm = 3.0}
costs = {radius_mm = 36.0, step_mm = 6.0}
[levels.coarse]
spacing_mm = 3.0
keypoints = {count = 400}
descriptors = {dilation_mm = 3.0, radius_mm = 3.0}
costs = {radius_mm = 9.0, step_mm = 3.0}
[levels.middle]
spacing_mm = 3.0
keypoints = {count = 400}
descriptors = {dilation_mm = 3.0, radius_mm = 3.0}
costs = {radius_mm = 6.0, step_mm = 3.0}
[refinement.dense]
spacing_mm = 4.0
features = {control_mm = 8.0, points = 5000}
normalisation = {window_mm = 6.0}
descent = {iterations = 10}
"""


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
    origin = grid.to_mm(first).tolist()
    turned = tuple(tuple(row) for row in direction.tolist())
    return Grid(tuple(stored.shape), tuple(reversed(spacing)), tuple(origin), turned), stored


def bowl(centres_mm: Tensor, radius_mm: float = 12.0, step_mm: float = 3.0, depth: float = 0.05) -> Tensor:
    """Costs (N, L, L, L), least at the centres (N, 3) and growing with the squared distance in label steps."""
    offsets_mm = label_grid(radius_mm, step_mm).points_mm(centres_mm)
    steps = (offsets_mm - centres_mm[:, None, None, None]) / step_mm
    return depth * steps.square().sum(-1)


def costs_of(costs: Tensor, points_mm: Tensor, neighbours: int = 6, radius_mm: float = 12.0, step_mm: float = 3.0):
    """A cost volume at some points and their graph."""
    keypoints = Keypoints(points_mm)
    graph = connect(keypoints, GraphConfig(neighbours=neighbours))
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
    lung_dice=0.98,
    folding_percent=0.0,
    sdlogj=0.25,
    mean_jacobian=0.8,
    volume_ratio=0.8,
    fixed_lung_ml=5000.0,
    fixed_lung_median_hu=-860.0,
    fixed_lung_tissue_percent=3.0,
    moving_lung_ml=4000.0,
    moving_lung_median_hu=-800.0,
    moving_lung_tissue_percent=4.0,
)


def only_doubts(err):
    """Whether a program said nothing but, maybe, that registrations as coarse as those of the tests are bad."""
    signs = ("do not look alike", "have found nothing like them")
    return all(line.startswith("warning: ") and any(sign in line for sign in signs) for line in err.splitlines())
