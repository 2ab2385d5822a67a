"""Bodies made of ellipsoids, as CT and as MR, on anisotropic and oblique grids."""

import pytest
import torch
from support.problems import grid_of, stored_otherwise

from graphreg.anatomy.body import find_body
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import Volume

UPRIGHT = Grid((30, 64, 70), (3.5, 3.0, 4.0), (-125.0, -90.0, -40.0))
TURNED = grid_of((26, 70, 75), [3.5, 3.0, 5.0], [-110.0, -120.0, -30.0], [6.0, -5.0, 12.0], flip=False)
THIN = Grid((60, 50, 24), (8.0, 3.0, 1.9), (-100.0, -80.0, -40.0))


def ellipse(grid, centre_mm, radii_mm):
    """An upright cylinder that the scan cuts above and below."""
    points_mm = grid.points_mm(torch.zeros(0, dtype=torch.float64))[..., :2]
    return ((points_mm - torch.tensor(centre_mm)) / torch.tensor(radii_mm)).square().sum(-1) < 1


def body_of(grid):
    centre = grid.corners_mm().mean(0).tolist()[:2]
    return ellipse(grid, centre, (85.0, 65.0)), centre


def ct(grid, generator):
    """Air, a table under the back, fat, tissue, bone, and a lung that goes on below the scan."""
    body, (x, y) = body_of(grid)
    data = torch.full(grid.shape, -1000.0)
    data[ellipse(grid, (x, y + 84.0), (70.0, 4.0))] = -200
    data[body] = -100
    data[ellipse(grid, (x, y), (75.0, 55.0))] = 40
    data[ellipse(grid, (x, y + 35.0), (12.0, 12.0))] = 900
    data[ellipse(grid, (x - 35.0, y), (25.0, 35.0))] = -850
    return Volume(grid, data + 20 * torch.randn(grid.shape, generator=generator)), body


def mr(grid, generator):
    """Noise around, bright fat, grey tissue, brighter to one side, an organ that is nearly dark."""
    body, (x, y) = body_of(grid)
    data = torch.zeros(grid.shape)
    data[body] = 400
    data[ellipse(grid, (x, y), (75.0, 55.0))] = 130
    data[ellipse(grid, (x - 35.0, y), (25.0, 30.0))] = 15
    data *= torch.linspace(0.7, 1.3, grid.shape[2])
    noise = 8 * torch.randn(2, *grid.shape, generator=generator)
    return Volume(grid, torch.hypot(data + noise[0], noise[1])), body


def dice(one, other):
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("scan", [ct, mr])
@pytest.mark.parametrize("grid", [UPRIGHT, TURNED, THIN])
def test_the_body_is_found_with_all_its_holes(scan, grid, generator):
    volume, body = scan(grid, generator)
    found = find_body(volume)
    assert found.dtype == torch.bool and tuple(found.shape) == grid.shape
    assert dice(found, body) > 0.97
    assert float(found[body].double().mean()) > 0.97


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_the_unit_of_the_intensities_does_not_matter(scale, generator):
    volume, _ = mr(UPRIGHT, generator)
    other = find_body(Volume(UPRIGHT, volume.data * scale))
    assert dice(find_body(volume), other) > 0.999


def test_the_order_of_storage_does_not_matter(generator):
    volume, _ = ct(TURNED, generator)
    _, expected = stored_otherwise(TURNED, find_body(volume), (1, 2, 0), (0, 1))
    grid, data = stored_otherwise(TURNED, volume.data, (1, 2, 0), (0, 1))
    assert dice(find_body(Volume(grid, data)), expected) > 0.999


def test_a_second_part_counts_where_it_is_a_tenth_of_the_first():
    grid = Grid((40, 40, 60), (3.0, 3.0, 3.0))
    data = torch.zeros(grid.shape)
    data[10:30, 10:30, 5:25] = 100  # 8000 voxels
    data[10:22, 10:20, 40:50] = 100  # 1200
    data[32:37, 30:35, 40:45] = 100  # 125
    found = find_body(Volume(grid, data))
    assert dice(found[..., :30], data[..., :30] > 0) > 0.97
    assert dice(found[:25, :25, 30:], data[:25, :25, 30:] > 0) > 0.95
    assert not found[31:].any()


def test_an_image_from_within_is_all_body(generator):
    volume = Volume(UPRIGHT, 500 + 100 * torch.randn(UPRIGHT.shape, generator=generator))
    assert bool(find_body(volume).all())


@pytest.mark.parametrize("value", [0.0, -1024.0, 3e4])
def test_an_image_without_contrast_shows_no_body(value):
    with pytest.raises(InputError, match="no contrast, every intensity is"):
        find_body(Volume(UPRIGHT, torch.full(UPRIGHT.shape, value)))


def test_a_speck_is_no_body():
    data = torch.zeros(UPRIGHT.shape)
    data[10:14, 20:24, 20:24] = 1000.0
    with pytest.raises(InputError, match="at least 1% of the image"):
        find_body(Volume(UPRIGHT, data))
