import math

import pytest
import torch
from support.problems import LARGER, OBLIQUE, noise, smooth_noise

from graphreg.core.grid import Grid
from graphreg.core.records import Volume
from graphreg.features.normalised import NormalisedIntensities

QUIET = NormalisedIntensities(noise=1e-3)


def ball(grid, radius_mm):
    """The voxels within a radius of the centre."""
    points_mm = grid.points_mm(torch.zeros(0, dtype=torch.float64))
    return (points_mm - grid.corners_mm().mean(0)).norm(dim=-1) < radius_mm


@pytest.fixture
def image(generator):
    return smooth_noise(LARGER, generator)


def test_a_difference_of_two_voxels_worked_by_hand():
    # Two voxels, 0 and 100 HU, 2 mm apart with a window of 2 mm: the neighbour has the weight w = e^(-1/2) of a voxel.
    # Mean and variance where 0 is: p = w / (1 + w), hence 100 p and 100^2 p (1 - p); noise of 30 HU is added to that.
    volume = Volume(Grid((9, 9, 9), (2.0, 2.0, 2.0)), torch.zeros(9, 9, 9, dtype=torch.float64))
    volume.data[4, 4, 5] = 100
    mask = torch.zeros(9, 9, 9) > 0
    mask[4, 4, 4:6] = True
    p = math.exp(-0.5) / (1 + math.exp(-0.5))
    expected = 100 * p / math.sqrt(1e4 * p * (1 - p) + 30**2)
    found = NormalisedIntensities(window_mm=2.0, noise=30.0)(volume, mask).data
    assert expected == pytest.approx(0.6622, abs=1e-4)
    assert found.shape == (1, 9, 9, 9)
    assert found[0, 4, 4, 4:6].tolist() == pytest.approx([-expected, expected], abs=1e-9)


@pytest.mark.parametrize(("contrast", "offset"), [(1.0, 250.0), (0.4, 0.0), (2.5, -900.0)])
def test_brightness_and_contrast_do_not_matter(image, contrast, offset):
    mask = ball(LARGER, 18)
    other = Volume(LARGER, contrast * image.data + offset)
    one, two = (QUIET(volume, mask).data for volume in (image, other))
    assert one.std() > 0.1
    assert torch.allclose(one, two, atol=1e-5)


def test_an_image_turned_to_its_negative_has_the_negative_intensities(image):
    mask = ball(LARGER, 18)
    negative = NormalisedIntensities()(Volume(LARGER, -image.data), mask).data
    assert torch.allclose(negative, -NormalisedIntensities()(image, mask).data, atol=1e-9)


def test_what_lies_outside_the_mask_does_not_matter_and_is_zero(image, generator):
    mask = ball(LARGER, 18)
    other = Volume(LARGER, torch.where(mask, image.data, noise(LARGER, generator).data.double()))
    one, two = (NormalisedIntensities()(volume, mask).data for volume in (image, other))
    assert torch.allclose(one, two, atol=1e-12)
    assert (one[:, ~mask] == 0).all() and (one[:, mask] != 0).any()


def test_noise_bounds_what_is_made_of_small_differences_and_a_constant_image_is_zero(image):
    faint = Volume(LARGER, image.data / 1000)
    mask = ball(LARGER, 18)
    assert NormalisedIntensities(noise=10.0)(faint, mask).data.abs().max() < 0.1
    assert QUIET(faint, mask).data.abs().max() > 1
    volume = Volume(LARGER, torch.full(LARGER.shape, -700.0, dtype=torch.float64))
    assert NormalisedIntensities()(volume, ball(LARGER, 15)).data.abs().max() < 1e-9


def test_the_window_is_as_wide_in_mm_along_every_axis():
    # one bright voxel: the mean around it falls by the same factor at the same distance along x and z
    volume = Volume(Grid((13, 13, 25), (1.0, 2.0, 2.0)), torch.zeros(13, 13, 25, dtype=torch.float64))
    volume.data[6, 6, 12] = 1e-3  # so little that the spread is the noise everywhere
    found = NormalisedIntensities(window_mm=4.0)(volume, volume.data > -1).data[0]
    assert found[6, 6, 16].item() == pytest.approx(found[8, 6, 12].item(), rel=1e-6)
    assert found[6, 6, 16] < 0.5 * found[6, 6, 20] < 0


def test_the_values_are_on_the_grid_of_the_volume_and_of_its_type(image):
    single = Volume(OBLIQUE, torch.zeros(OBLIQUE.shape))
    found = NormalisedIntensities()(single, torch.ones(OBLIQUE.shape) > 0)
    assert found.grid == OBLIQUE and found.data.dtype == torch.float32
