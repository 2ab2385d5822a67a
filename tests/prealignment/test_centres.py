import pytest
import torch
from scipy import ndimage
from support.problems import LARGER, MATRIX, OBLIQUE, OFFSET_MM

from graphreg.core.affine import Affine
from graphreg.core.grid import Grid, mask_points_mm
from graphreg.core.records import Subject, Volume
from graphreg.prealignment.centres import Centres, centroid_mm
from graphreg.prealignment.none import Unmoved


def subject(grid, mask):
    return Subject(Volume(grid, torch.zeros(grid.shape)), mask)


@pytest.fixture
def pair(generator):
    return [subject(grid, torch.rand(grid.shape, generator=generator) < 0.2) for grid in (OBLIQUE, LARGER)]


def test_the_centroid_is_the_mean_of_the_voxels_of_the_region(pair):
    for one in pair:
        grid = one.image.grid
        assert torch.allclose(centroid_mm(one), mask_points_mm(one.mask, grid).mean(0), atol=1e-9)
        index = torch.tensor(ndimage.center_of_mass(one.mask.numpy()))
        assert torch.allclose(centroid_mm(one), grid.to_mm(index), atol=1e-9)


def test_a_translation_worked_by_hand():
    # voxels x = 2, 4 of 1.5 mm from -10, y = 1 of 2 mm from 5, z = 0 of 3 mm from 7: (-5.5, 7, 7); one voxel: (4, 4, 4)
    grid, other = Grid((2, 3, 6), (1.5, 2.0, 3.0), (-10.0, 5.0, 7.0)), Grid((5, 5, 5), (1.0, 1.0, 1.0))
    mask, spot = torch.zeros(grid.shape) > 0, torch.zeros(other.shape) > 0
    mask[0, 1, 2] = mask[0, 1, 4] = spot[4, 4, 4] = True
    found = Centres()(subject(grid, mask), subject(other, spot), Affine.identity())
    assert found.matrix.tolist() == torch.eye(3).tolist()
    assert found.offset_mm.tolist() == [9.5, -3.0, -3.0]


def test_what_was_turned_and_scaled_before_stays_and_centre_meets_centre(pair):
    fixed, moving = pair
    found = Centres()(fixed, moving, Affine(MATRIX, OFFSET_MM))
    assert torch.equal(found.matrix, MATRIX)
    assert torch.allclose(found(centroid_mm(fixed)), centroid_mm(moving), atol=1e-9)
    again = Centres()(fixed, moving, found)
    assert torch.allclose(again.offset_mm, found.offset_mm, atol=1e-9)


def test_unmoved_gives_the_start_back(pair):
    start = Affine(MATRIX, OFFSET_MM)
    assert Unmoved()(pair[0], pair[1], start) is start
