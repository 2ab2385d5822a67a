"""Keypoints on anisotropic, non-cubic, offset grids whose coordinates are exact in binary."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from support.problems import noise, smooth_noise

from graphreg.core.grid import Grid
from graphreg.core.records import Volume
from graphreg.sampling.foerstner import Foerstner, distinctiveness, local_maxima

GRID = Grid((20, 24, 28), (1.0, 1.5, 2.0), (-100.5, 30.0, 12.0))
CONFIG = Foerstner(count=60, sigma_mm=1.4, separation_mm=2.0)


@pytest.fixture
def volume(generator):
    return smooth_noise(GRID, generator)


def everywhere(grid):
    return torch.ones(grid.shape, dtype=torch.bool)


def test_keypoints_of_bright_blobs_lie_in_millimetres_where_the_blobs_were_put():
    grid = Grid((32, 36, 40), (1.0, 1.5, 2.0), (-100.0, 30.0, 12.0))
    index = torch.cartesian_prod(*[torch.tensor([5, 13, 20, 27])] * 3)  # (z, y, x)
    bright = torch.zeros(grid.shape, dtype=torch.float64)
    bright[tuple(index.T)] = 1
    data = torch.from_numpy(ndimage.gaussian_filter(bright.numpy(), (0.9, 1.2, 1.8)))
    volume = Volume(grid, -900 + 800 * data / data.max())
    found = Foerstner(count=100, sigma_mm=2.0, separation_mm=2.0)(volume, data > data.max() / 2)
    # by hand: x = -100 + 1 i, y = 30 + 1.5 j, z = 12 + 2 k
    expected = {
        (x, y, z)
        for x in (-95.0, -87.0, -80.0, -73.0)
        for y in (37.5, 49.5, 60.0, 70.5)
        for z in (22.0, 38.0, 52.0, 66.0)
    }
    assert {tuple(point) for point in found.points_mm.tolist()} == expected


def test_distinctiveness_is_one_over_the_trace_of_the_inverse_structure_tensor(volume):
    kernel = np.array([1, -8, 0, 8, -1]) / 12
    data, steps = volume.data.numpy(), (2.0, 1.5, 1.0)
    slopes = [ndimage.correlate1d(data, kernel / step, axis, mode="nearest") for axis, step in enumerate(steps)]
    sigma = [CONFIG.sigma_mm / step for step in steps]
    radius = [int(np.ceil(3 * s)) for s in sigma]
    products = [[ndimage.gaussian_filter(g * h, sigma, mode="nearest", radius=radius) for h in slopes] for g in slopes]
    found = distinctiveness(volume, CONFIG.sigma_mm)
    for voxel in [(0, 0, 0), (19, 23, 27), (10, 11, 13), (3, 20, 1), (17, 2, 25), (9, 9, 9)]:
        tensor = np.array([[products[i][j][voxel] for j in range(3)] for i in range(3)])
        assert found[voxel].item() == pytest.approx(1 / np.trace(np.linalg.inv(tensor)), rel=1e-6)


def test_distinctiveness_is_measured_per_squared_millimetre_and_mirrored_in_a_mirrored_image(volume):
    # twice the spacing: gradients halved, hence a quarter of the structure tensor and of 1 / tr(S^-1)
    wide = Grid(GRID.shape, (2.0, 3.0, 4.0))
    wider = distinctiveness(Volume(wide, volume.data), 2.8)
    assert torch.allclose(wider, distinctiveness(volume, CONFIG.sigma_mm) / 4, rtol=1e-9)
    for axis in range(3):
        mirrored = distinctiveness(Volume(GRID, volume.data.flip(axis)), CONFIG.sigma_mm)
        assert torch.allclose(mirrored.flip(axis), distinctiveness(volume, CONFIG.sigma_mm), rtol=1e-9)


@pytest.mark.parametrize("normal", [(1.0, 0.0, 0.0), (1.0, 0.2, 0.0), (0.3, 0.5, 0.8)])
@pytest.mark.parametrize("wave", [lambda t: 8 * t, lambda t: 150 * torch.sin(t / 4)])
def test_a_plane_of_any_direction_is_nowhere_distinctive(normal, wave):
    across = GRID.points_mm(torch.zeros(())) @ torch.nn.functional.normalize(torch.tensor(normal), dim=0)
    plane = Volume(GRID, wave(across - across.mean()))
    slope = (wave(torch.tensor(1.0)) - wave(torch.tensor(0.0))).item()
    inside = distinctiveness(plane, CONFIG.sigma_mm)[6:-6, 6:-6, 8:-8]  # where no replicated border bends the plane
    assert inside.max() < 1e-5 * slope**2


def test_a_corner_of_a_cube_is_more_distinctive_than_its_edges_and_faces():
    data = torch.full(GRID.shape, -900.0)
    data[7:, 9:, 11:] = 0.0
    strength = distinctiveness(Volume(GRID, data), CONFIG.sigma_mm)
    assert strength[7, 9, 11] > 3 * strength[7, 9, 20] > 0  # at the corner; 9 mm along an edge
    assert strength[7, 9, 20] > 10 * strength[7, 17, 20]  # and in the middle of a face


def test_keypoints_move_with_the_image(generator):
    grid = Grid((30, 34, 38), (1.0, 1.5, 2.0), (-100.5, 30.0, 12.0))
    volume = smooth_noise(grid, generator, 0.8)
    mask = torch.zeros(grid.shape, dtype=torch.bool)
    mask[7:-7, 6:-6, 8:-8] = True
    shift = (2, -1, 3)  # voxels (z, y, x): by hand (3, -1.5, 4) mm
    moved = Volume(grid, volume.data.roll(shift, (0, 1, 2)))
    config = Foerstner(count=50, sigma_mm=1.0, separation_mm=1.0)
    here = config(volume, mask).points_mm
    there = config(moved, mask.roll(shift, (0, 1, 2)))
    assert len(here) == 50
    assert torch.equal(there.points_mm, here + torch.tensor([3.0, -1.5, 4.0]))


def test_local_maxima_agree_with_a_search_of_every_box(generator):
    strength = noise(GRID, generator).data[:8, :9, :10].clamp_min(-100.0) + 100  # with flat parts at zero
    grid = Grid((8, 9, 10), (1.0, 1.5, 2.0))
    mask = torch.rand(grid.shape, generator=generator) < 0.7
    found = local_maxima(strength, mask, grid, separation_mm=2.0)  # 1, 1 and 2 voxels along z, y and x
    visible = torch.where(mask, strength, 0.0).numpy()
    for z, y, x in np.ndindex(*grid.shape):
        around = visible[max(z - 1, 0) : z + 2, max(y - 1, 0) : y + 2, max(x - 2, 0) : x + 3]
        expected = bool(mask[z, y, x]) and visible[z, y, x] > 0 and visible[z, y, x] == around.max()
        assert bool(found[z, y, x]) == expected


def test_keypoints_lie_in_the_mask_and_are_as_many_as_wanted(volume):
    mask = everywhere(GRID)
    mask[:, :, :14] = False
    found = CONFIG(volume, mask).points_mm
    assert len(found) == len(found.unique(dim=0)) == 60
    assert found[:, 0].min() >= -100.5 + 14


def test_fewer_than_fifty_candidates_and_a_mask_of_another_shape_or_type_are_refused(volume, generator):
    few = torch.zeros(GRID.shape, dtype=torch.bool)
    few[4:8, 4:8, 4:8] = True
    with pytest.raises(ValueError, match="At least 50 keypoints .* found [0-9]+"):
        CONFIG(volume, few)
    with pytest.raises(ValueError, match="found 0"):
        CONFIG(Volume(GRID, torch.zeros(GRID.shape)), everywhere(GRID))
    volume = Volume(Grid((20, 20, 20), (2.0, 2.0, 2.0)), torch.randn(20, 20, 20, generator=generator))
    with pytest.raises(ValueError, match="must be bool"):
        Foerstner()(volume, torch.ones(20, 20, 20))
    with pytest.raises(ValueError, match="must be bool"):
        Foerstner()(volume, torch.ones(20, 20, 21, dtype=torch.bool))
