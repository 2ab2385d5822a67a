import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from problems import OBLIQUE, grids, points_inside
from scipy.ndimage import map_coordinates

from graphreg.grid import Grid, box, mask_points_mm, sample

PLAIN = Grid((2, 3, 4), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0))


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_an_index_counts_z_y_x_and_a_point_x_y_z():
    # x = 10 + 3 * 1, y = 20 + 2 * 2, z = 30 + 1 * 3
    assert PLAIN.to_mm(tensor(1, 2, 3)).tolist() == [13, 24, 33]
    assert PLAIN.to_index(tensor(13, 24, 33)).tolist() == [1, 2, 3]


def test_column_j_of_the_direction_says_where_index_axis_j_points():
    # index x runs along -y, index y along z, index z along x
    turned = dataclasses.replace(PLAIN, direction=((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    assert turned.to_mm(tensor(1, 2, 3)).tolist() == [10 + 3, 20 - 3, 30 + 4]


def test_sampler_coordinates_run_from_first_to_last_voxel_centre_in_x_y_z():
    # x: 1 of 0..3 -> -1/3, y: 1 of 0..2 -> 0, z: 1 of 0..1 -> 1
    assert PLAIN.to_sampler(PLAIN.to_mm(tensor(1, 1, 1))).tolist() == pytest.approx([-1 / 3, 0, 1], abs=1e-12)


@given(grids)
def test_index_and_point_are_inverse(grid):
    index = tensor([0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2.5, -1.25, 7])
    assert torch.allclose(grid.to_index(grid.to_mm(index)), index, atol=1e-9)


@given(grids)
def test_neighbouring_voxels_are_one_spacing_apart(grid):
    steps = grid.to_mm(torch.eye(3, dtype=torch.float64)) - grid.to_mm(tensor(0, 0, 0))
    assert steps.norm(dim=1).flip(0).tolist() == pytest.approx(grid.spacing_mm, abs=1e-9)


def test_linear_sampling_agrees_with_scipy(generator):
    data = torch.randn(2, *OBLIQUE.shape, generator=generator, dtype=torch.float64)
    points_mm = points_inside(OBLIQUE, 200, generator)
    where = OBLIQUE.to_index(points_mm).T.numpy()
    expected = np.stack([map_coordinates(channel, where, order=1) for channel in data.numpy()])
    assert torch.allclose(sample(data, OBLIQUE, points_mm), torch.from_numpy(expected), atol=1e-10)


def test_voxel_centres_sample_to_the_voxels(generator):
    data = torch.randn(1, *OBLIQUE.shape, generator=generator, dtype=torch.float64)
    for nearest in (False, True):
        values = sample(data, OBLIQUE, OBLIQUE.points_mm(data), nearest=nearest)
        assert torch.allclose(values, data, atol=1e-9)


def test_nearest_sampling_invents_no_label():
    labels = torch.tensor([1.0, 5.0]).reshape(1, 1, 1, 2)
    grid = Grid((1, 1, 2), (1.0, 1.0, 1.0))
    assert sample(labels, grid, tensor([0.4, 0, 0], [0.6, 0, 0]), nearest=True).tolist() == [[1, 5]]


def test_beyond_the_grid_the_border_goes_on_or_a_value_is_given():
    data = torch.arange(24, dtype=torch.float64).reshape(1, *PLAIN.shape)
    far = tensor([113, 124, 133], [-90, 20, 30])
    assert sample(data, PLAIN, far).tolist() == [[23, 0]]
    assert sample(data, PLAIN, far, outside=-1000).tolist() == [[-1000, -1000]]


def test_a_grid_contains_half_a_voxel_around_its_centres():
    inside = PLAIN.contains(tensor([9.6, 19.1, 28.6], [9.4, 20, 30], [13.4, 24.9, 34.4], [13.6, 24, 33]))
    assert inside.tolist() == [True, False, True, False]


def test_points_of_a_slab_are_part_of_all_points():
    every = OBLIQUE.points_mm(tensor(0))
    assert torch.equal(OBLIQUE.points_mm(tensor(0), slice(2, 4)), every[2:4])
    assert torch.allclose(every[5, 6, 8], OBLIQUE.corners_mm()[-1])


@pytest.mark.parametrize("voxels", [1, 100, 150, 10**9])
def test_slabs_follow_each_other_and_cover_the_grid(voxels):
    slabs = list(OBLIQUE.slabs(voxels))
    assert [i for slab in slabs for i in range(slab.start, slab.stop)] == list(range(OBLIQUE.shape[0]))
    assert all(slab.stop - slab.start <= max(voxels // 63, 1) for slab in slabs)


def test_an_isotropic_grid_reaches_as_far_on_every_side_equally():
    fine = OBLIQUE.with_spacing(1.1)
    assert fine.spacing_mm == (1.1, 1.1, 1.1) and fine.direction == OBLIQUE.direction
    assert fine.contains(OBLIQUE.corners_mm()).all()
    assert torch.allclose(fine.corners_mm().mean(0), OBLIQUE.corners_mm().mean(0), atol=1e-9)
    assert fine.shape == tuple(
        math.ceil((n - 1) * s / 1.1) + 1 for n, s in zip(OBLIQUE.shape, reversed(OBLIQUE.spacing_mm), strict=True)
    )


def test_a_covering_grid_holds_the_points_and_their_margin():
    grid = Grid.covering(tensor([0, 0, 0], [10, 4, -6]), spacing_mm=2.5, margin_mm=1.0)
    assert grid.origin_mm == (-1, -1, -7)
    assert grid.shape == (5, 4, 6)  # 8 mm, 6 mm and 12 mm in steps of 2.5 mm


def test_a_cropped_grid_starts_at_the_voxel():
    part = OBLIQUE.cropped((1, 2, 3), (2, 2, 2))
    assert torch.allclose(part.to_mm(tensor(1, 1, 1)), OBLIQUE.to_mm(tensor(2, 3, 4)), atol=1e-9)


def test_a_box_surrounds_the_mask_and_stays_inside():
    mask = torch.zeros(5, 6, 7, dtype=torch.bool)
    mask[1, 2, 5] = mask[3, 2, 4] = True
    assert box(mask) == (slice(1, 4), slice(2, 3), slice(4, 6))
    assert box(mask, (2, 1, 9)) == (slice(0, 5), slice(1, 4), slice(0, 7))


def test_mask_points_are_where_the_voxels_are():
    mask = torch.zeros(2, 3, 4, dtype=torch.bool)
    mask[1, 2, 3] = True
    assert mask_points_mm(mask, PLAIN).tolist() == [[13, 24, 33]]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"shape": (0, 3, 4)}, "shape"),
        ({"shape": (3, 4)}, "shape"),
        ({"spacing_mm": (1.0, -1.0, 1.0)}, "spacing"),
        ({"spacing_mm": (1.0, math.nan, 1.0)}, "spacing"),
        ({"origin_mm": (1.0, math.inf, 1.0)}, "origin"),
        ({"direction": ((1.0, 0.0, 0.0), (0.5, 1.0, 0.0), (0.0, 0.0, 1.0))}, "direction"),
    ],
)
def test_an_impossible_grid_is_refused(change, word):
    with pytest.raises(ValueError, match=word):
        dataclasses.replace(PLAIN, **change)
