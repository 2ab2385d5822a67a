import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from scipy.ndimage import map_coordinates
from support.problems import OBLIQUE, grids, points_inside

from graphreg.core.grid import Grid, box, mask_corners_mm, mask_points_mm, sample

PLAIN = Grid((2, 3, 4), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0))


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_an_index_counts_z_y_x_a_point_x_y_z_along_the_direction_and_the_sampler_from_centre_to_centre():
    # x = 10 + 3 * 1, y = 20 + 2 * 2, z = 30 + 1 * 3
    assert PLAIN.to_mm(tensor(1, 2, 3)).tolist() == [13, 24, 33]
    assert PLAIN.to_index(tensor(13, 24, 33)).tolist() == [1, 2, 3]
    # index x runs along -y, index y along z, index z along x
    turned = dataclasses.replace(PLAIN, direction=((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    assert turned.to_mm(tensor(1, 2, 3)).tolist() == [10 + 3, 20 - 3, 30 + 4]
    # x: 1 of 0..3 -> -1/3, y: 1 of 0..2 -> 0, z: 1 of 0..1 -> 1
    assert PLAIN.to_sampler(PLAIN.to_mm(tensor(1, 1, 1))).tolist() == pytest.approx([-1 / 3, 0, 1], abs=1e-12)


@given(grids)
def test_index_and_point_are_inverse_and_neighbouring_voxels_one_spacing_apart(grid):
    index = tensor([0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2.5, -1.25, 7])
    assert torch.allclose(grid.to_index(grid.to_mm(index)), index, atol=1e-9)
    steps = grid.to_mm(torch.eye(3, dtype=torch.float64)) - grid.to_mm(tensor(0, 0, 0))
    assert steps.norm(dim=1).flip(0).tolist() == pytest.approx(grid.spacing_mm, abs=1e-9)


def test_linear_sampling_agrees_with_scipy_and_keeps_the_shape_of_the_points(generator):
    data = torch.randn(2, *OBLIQUE.shape, generator=generator, dtype=torch.float64)
    points_mm = points_inside(OBLIQUE, 200, generator)
    where = OBLIQUE.to_index(points_mm).T.numpy()
    expected = np.stack([map_coordinates(channel, where, order=1) for channel in data.numpy()])
    assert torch.allclose(sample(data, OBLIQUE, points_mm), torch.from_numpy(expected), atol=1e-10)
    data = torch.randn(2, *OBLIQUE.shape, generator=generator, dtype=torch.float64)
    points_mm = points_inside(OBLIQUE, 24, generator)
    flat = sample(data, OBLIQUE, points_mm)
    for shape in ((24, 1), (4, 6), (2, 3, 4)):
        assert torch.equal(sample(data, OBLIQUE, points_mm.reshape(*shape, 3)), flat.reshape(2, *shape))


def test_voxel_centres_sample_to_the_voxels_and_the_nearest_invents_no_label(generator):
    data = torch.randn(1, *OBLIQUE.shape, generator=generator, dtype=torch.float64)
    for nearest in (False, True):
        values = sample(data, OBLIQUE, OBLIQUE.points_mm(data), nearest=nearest)
        assert torch.allclose(values, data, atol=1e-9)
    labels = torch.tensor([1.0, 5.0]).reshape(1, 1, 1, 2)
    grid = Grid((1, 1, 2), (1.0, 1.0, 1.0))
    assert sample(labels, grid, tensor([0.4, 0, 0], [0.6, 0, 0]), nearest=True).tolist() == [[1, 5]]


def test_beyond_the_grid_the_border_goes_on_or_a_value_is_given():
    data = torch.arange(24, dtype=torch.float64).reshape(1, *PLAIN.shape)
    far = tensor([113, 124, 133], [-90, 20, 30])
    assert sample(data, PLAIN, far).tolist() == [[23, 0]]
    assert sample(data, PLAIN, far, outside=-1000).tolist() == [[-1000, -1000]]


def test_a_grid_contains_half_a_voxel_around_its_centres_with_the_very_border():
    inside = PLAIN.contains(tensor([9.6, 19.1, 28.6], [9.4, 20, 30], [13.4, 24.9, 34.4], [13.6, 24, 33]))
    assert inside.tolist() == [True, False, True, False]
    low, high = tensor(9.5, 19, 28.5), tensor(13.5, 25, 34.5)  # half a voxel beyond the outer centres
    points_mm = torch.stack((low, high, low - 1e-4, high + 1e-4, high, low)).reshape(3, 2, 3)
    assert PLAIN.contains(points_mm).tolist() == [[True, True], [False, False], [True, True]]


def test_points_of_a_slab_are_part_of_all_points():
    every = OBLIQUE.points_mm(tensor(0))
    assert torch.equal(OBLIQUE.points_mm(tensor(0), slice(2, 4)), every[2:4])
    assert torch.allclose(every[5, 6, 8], OBLIQUE.corners_mm()[-1])


@pytest.mark.parametrize("voxels", [1, 100, 150, 10**9])
def test_slabs_follow_each_other_and_cover_the_grid(voxels):
    slabs = list(OBLIQUE.slabs(voxels))
    assert [i for slab in slabs for i in range(slab.start, slab.stop)] == list(range(OBLIQUE.shape[0]))
    thick = min(max(voxels // 63, 1), OBLIQUE.shape[0])  # of slices of 7 x 9 voxels
    assert [slab.stop - slab.start for slab in slabs[:-1]] == [thick] * (len(slabs) - 1)
    assert 0 < slabs[-1].stop - slabs[-1].start <= thick


def test_an_isotropic_grid_reaches_as_far_on_every_side_equally_also_around_a_single_slice():
    fine = OBLIQUE.with_spacing(1.1)
    assert fine.spacing_mm == (1.1, 1.1, 1.1) and fine.direction == OBLIQUE.direction
    assert fine.contains(OBLIQUE.corners_mm()).all()
    assert torch.allclose(fine.corners_mm().mean(0), OBLIQUE.corners_mm().mean(0), atol=1e-9)
    assert fine.shape == tuple(
        math.ceil((n - 1) * s / 1.1) + 1 for n, s in zip(OBLIQUE.shape, reversed(OBLIQUE.spacing_mm), strict=True)
    )
    fine = Grid((1, 5, 9), (1.0, 1.0, 1.0)).with_spacing(2.0)
    assert fine == Grid((2, 3, 5), (2.0, 2.0, 2.0), (0.0, 0.0, -1.0))


def test_a_covering_grid_holds_the_points_and_their_margin_if_there_is_one():
    grid = Grid.covering(tensor([0, 0, 0], [10, 4, -6]), spacing_mm=2.5, margin_mm=1.0)
    assert grid.origin_mm == (-1, -1, -7)
    assert grid.shape == (5, 4, 6)  # 8 mm, 6 mm and 12 mm in steps of 2.5 mm
    assert Grid((1, 1, 1), (1.0, 1.0, 1.0)).origin_mm == (0, 0, 0)
    assert Grid.covering(tensor([1, 2, 3], [4, 4, 4]), 1.0) == Grid((2, 3, 4), (1.0, 1.0, 1.0), (1.0, 2.0, 3.0))


def test_a_cropped_grid_starts_at_the_voxel_and_a_part_is_the_box_between_indices():
    part = OBLIQUE.cropped((1, 2, 3), (2, 2, 2))
    assert torch.allclose(part.to_mm(tensor(1, 1, 1)), OBLIQUE.to_mm(tensor(2, 3, 4)), atol=1e-9)
    part = OBLIQUE.part((slice(1, 5), slice(2, 4), slice(3, 6)))
    assert part.shape == (4, 2, 3)
    assert torch.allclose(part.to_mm(tensor(3, 1, 2)), OBLIQUE.to_mm(tensor(4, 3, 5)), rtol=0, atol=1e-9)


def test_a_box_surrounds_the_mask_and_stays_inside_and_its_corners_are_the_centres_of_its_outer_voxels():
    mask = torch.zeros(5, 6, 7, dtype=torch.bool)
    mask[1, 2, 5] = mask[3, 2, 4] = True
    assert box(mask) == (slice(1, 4), slice(2, 3), slice(4, 6))
    assert box(mask, (2, 1, 9)) == (slice(0, 5), slice(1, 4), slice(0, 7))
    mask = torch.zeros(2, 3, 4, dtype=torch.bool)
    mask[0, 1, 3] = mask[1, 2, 2] = True  # z 0 to 1, y 1 to 2, x 2 to 3
    by_hand = {(x, y, z) for x in (12.0, 13.0) for y in (22.0, 24.0) for z in (30.0, 33.0)}
    assert {tuple(corner) for corner in mask_corners_mm(mask, PLAIN).tolist()} == by_hand


@pytest.mark.parametrize("steps", [3, 7, 29])
def test_a_whole_number_of_steps_stays_that_many_whatever_the_rounding(steps):
    """0.1 + 0.2 is more than 0.3: a voxel more would be the answer to rounding alone."""
    third = 0.1 + 0.2
    assert Grid.covering(tensor([0, 0, 0], [steps * third] * 3), 0.3).shape == (steps + 1,) * 3
    assert Grid((steps + 1,) * 3, (third,) * 3).with_spacing(0.3).shape == (steps + 1,) * 3


def test_single_precision_points_do_not_make_a_coarse_grid():
    low = torch.tensor([[300.1, -1500.7, 2000.3]])
    grid = Grid.covering(torch.cat((low, low + 10)), 1.0, margin_mm=0.1)
    assert grid.origin_mm == tuple((low[0].double() - 0.1).tolist())
    whole = dataclasses.replace(OBLIQUE, origin_mm=tuple(low[0].tolist()))
    one, other = (g.corners_mm().mean(0) for g in (whole, whole.with_spacing(1.1)))
    assert torch.allclose(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("unit", [0.5, 1.0, 3.0])
def test_spacings_that_agree_to_a_thousandth_are_isotropic(unit):
    for other, same in ((1.0, True), (1.0009, True), (0.9991, True), (1.0011, False), (0.9989, False)):
        for axis in range(3):
            spacing = [unit] * 3
            spacing[axis] *= other
            assert Grid((2, 2, 2), tuple(spacing)).is_isotropic == same


@pytest.mark.parametrize(("turn", "upright"), [(0.0, True), (9e-4, True), (-9e-4, True), (1.2e-3, False), (1.0, False)])
def test_a_grid_is_upright_up_to_a_thousandth_of_a_turn(turn, upright):
    c, s = math.cos(turn), math.sin(turn)
    for direction in (((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)), ((1.0, 0.0, 0.0), (0.0, c, s), (0.0, -s, c))):
        assert dataclasses.replace(PLAIN, direction=direction).is_upright == upright
    mirrored = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert not dataclasses.replace(PLAIN, direction=mirrored).is_upright


def test_mask_points_are_where_the_voxels_are_and_exact_on_a_turned_grid():
    mask = torch.zeros(2, 3, 4, dtype=torch.bool)
    mask[1, 2, 3] = True
    assert mask_points_mm(mask, PLAIN).tolist() == [[13, 24, 33]]
    mask = torch.zeros(OBLIQUE.shape, dtype=torch.bool)
    mask[5, 6, 8] = True
    found = mask_points_mm(mask, OBLIQUE)
    assert found.dtype == torch.float64 and torch.equal(found, OBLIQUE.to_mm(tensor([5, 6, 8])))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"shape": (0, 3, 4)}, "shape"),
        ({"shape": (3, 4)}, "shape"),
        ({"spacing_mm": (1.0, -1.0, 1.0)}, "spacing"),
        ({"spacing_mm": (1.0, math.nan, 1.0)}, "spacing"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "spacing"),
        ({"origin_mm": (1.0, math.inf, 1.0)}, "origin"),
        ({"direction": ((1.0, 0.0, 0.0), (0.5, 1.0, 0.0), (0.0, 0.0, 1.0))}, "direction"),
        ({"direction": ((1.0, 0.0012, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))}, "direction"),
    ],
)
def test_an_impossible_grid_is_refused(change, word):
    with pytest.raises(ValueError, match=word):
        dataclasses.replace(PLAIN, **change)
