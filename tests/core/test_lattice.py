"""Interpolation by one matrix per axis: against scipy, against the sampler, and beyond the ends."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from support.problems import LARGER, OBLIQUE

from graphreg.core.grid import Grid, sample
from graphreg.core.lattice import cubic, linear, linear_within, same_axes, transfer

SOURCE = Grid((9, 11, 13), (1.5, 2.0, 2.5), (-10.0, 20.0, 30.0))
TARGET = Grid((14, 12, 16), (1.25, 1.25, 2.0), (-12.5, 19.0, 29.0))  # partly beyond the source


def test_cubic_interpolation_agrees_with_the_natural_spline_of_scipy(generator):
    samples = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    where = torch.linspace(0, 8, 50, dtype=torch.float64)
    expected = CubicSpline(np.arange(9), samples.numpy(), bc_type="natural")(where.numpy())
    assert np.allclose((cubic(9, where) @ samples).numpy(), expected, atol=1e-10)


def test_linear_interpolation_worked_by_hand_of_which_nothing_is_left_half_a_voxel_beyond_the_ends():
    where = torch.tensor([-3.0, 0.0, 0.25, 1.5, 2.0, 2.4, 9.0], dtype=torch.float64)
    samples = torch.tensor([10.0, 20.0, 40.0], dtype=torch.float64)
    assert (linear(3, where) @ samples).tolist() == [10, 10, 12.5, 30, 40, 40, 40]
    where = torch.tensor([-0.51, -0.5, 0.0, 2.5, 2.51], dtype=torch.float64)
    samples = torch.tensor([10.0, 20.0, 40.0], dtype=torch.float64)
    assert (linear_within(3, where) @ samples).tolist() == [0, 10, 10, 40, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_transfer_agrees_with_sampling_at_every_voxel(channels, generator):
    data = torch.randn(channels, *SOURCE.shape, generator=generator, dtype=torch.float64)
    points_mm = TARGET.points_mm(data)
    found = transfer(data, SOURCE, TARGET, (linear,) * 3)
    assert torch.allclose(found, sample(data, SOURCE, points_mm), atol=1e-12)
    found = transfer(data, SOURCE, TARGET, (linear_within,) * 3)
    assert torch.allclose(found, sample(data, SOURCE, points_mm, outside=0.0), atol=1e-12)


def test_transfer_goes_between_oblique_grids_of_the_same_axes_and_others_are_refused(generator):
    part = OBLIQUE.cropped((1, 2, 1), (4, 3, 5)).with_spacing(1.1)
    data = torch.randn(2, *OBLIQUE.shape, generator=generator, dtype=torch.float64)
    expected = sample(data, OBLIQUE, part.points_mm(data))
    assert torch.allclose(transfer(data, OBLIQUE, part, (linear,) * 3), expected, atol=1e-10)
    assert not same_axes(LARGER, OBLIQUE)
    with pytest.raises(ValueError, match="same axes"):
        transfer(torch.zeros(1, *OBLIQUE.shape), OBLIQUE, LARGER, (linear,) * 3)
