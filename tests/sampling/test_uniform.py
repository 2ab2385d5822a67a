"""Evenly spread voxels: which there are to choose from, and how even they are."""

import pytest
import torch
from support.problems import LARGER, OBLIQUE, noise, smooth_noise

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import Volume
from graphreg.sampling.spread import farthest_points, one_of_each_share
from graphreg.sampling.uniform import Uniform


def test_keypoints_are_the_farthest_of_one_voxel_of_each_share_of_the_mask(generator):
    # 22 * 23 * 24 = 12144 voxels, 20 * 60 = 1200 of which are looked at
    volume = smooth_noise(LARGER, generator)
    found = Uniform(count=60)(volume, torch.ones(LARGER.shape, dtype=torch.bool))
    size = torch.tensor(LARGER.shape)
    voxels = LARGER.to_mm(torch.cartesian_prod(*map(torch.arange, size)).double())
    some = voxels[one_of_each_share(12144, 1200)]
    assert torch.equal(found.points_mm, some[farthest_points(some, 60)])


def test_keypoints_lie_at_all_places_of_a_row_where_the_number_of_shares_divides_its_length():
    # 40^3 voxels, 1600 of which are looked at: every 40th would be the first of its row
    grid = Grid((40, 40, 40), (1.0, 1.0, 1.0))
    mask = torch.ones(grid.shape, dtype=torch.bool)
    found = Uniform(count=80)(Volume(grid, torch.zeros(grid.shape)), mask).points_mm
    # along each axis a tenth of the whole holds no more than a quarter of the keypoints, and each quarter a tenth
    for place in found.T:
        assert torch.histc(place, 10, -0.5, 39.5).max() <= 20
        assert torch.histc(place, 4, -0.5, 39.5).min() >= 8


def test_keypoints_are_the_same_whatever_the_image_shows(generator):
    mask = torch.rand(LARGER.shape, generator=generator) < 0.3
    one, other = (Uniform(count=80)(noise(LARGER, generator), mask).points_mm for _ in range(2))
    assert torch.equal(one, other)
    index = LARGER.to_index(one.double()).round().long()
    assert len(one) == 80 and bool(mask[tuple(index.T)].all())


def test_all_voxels_are_keypoints_where_more_are_wanted(generator):
    volume = noise(OBLIQUE, generator)
    mask = torch.zeros(OBLIQUE.shape, dtype=torch.bool)
    mask[1:5, 1:5, 2:6] = True
    found = Uniform(count=2000)(volume, mask)
    assert torch.equal(found.points_mm, OBLIQUE.to_mm(mask.nonzero().double()).float())


def test_too_few_voxels_are_named():
    volume = Volume(Grid((4, 4, 4), (1.0, 1.0, 1.0)), torch.zeros(4, 4, 4))
    mask = torch.zeros(4, 4, 4, dtype=torch.bool)
    mask.view(-1)[:49] = True
    with pytest.raises(InputError, match="At least 50 keypoints .* found 49"):
        Uniform()(volume, mask)
    mask.view(-1)[49] = True
    assert len(Uniform()(volume, mask)) == 50
    with pytest.raises(ValueError, match="must be bool"):
        Uniform()(volume, mask.float())
    with pytest.raises(InputError, match="at least 50, got 49"):
        Uniform(count=49)
