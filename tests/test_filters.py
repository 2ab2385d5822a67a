import numpy as np
import pytest
import torch
from scipy import ndimage

from graphreg.filters import box_mean, correlate, derivative, gaussian, gaussian_kernel


@pytest.fixture
def data(generator):
    return torch.randn(2, 6, 7, 9, generator=generator, dtype=torch.float64)


def test_correlation_does_not_turn_the_kernel_round():
    row = torch.tensor([[[1.0, 2.0, 4.0]]])
    # each voxel takes its left neighbour once and its right neighbour ten times, the border standing for itself
    assert correlate(row, torch.tensor([1.0, 0.0, 10.0]), -1).tolist() == [[[21, 41, 42]]]


def test_gaussian_agrees_with_scipy(data):
    sigma = (0.6, 1.0, 1.7)
    expected = np.stack(
        [ndimage.gaussian_filter(part, sigma, mode="nearest", radius=(2, 3, 6)) for part in data.numpy()]
    )
    assert torch.allclose(gaussian(data, sigma), torch.from_numpy(expected), atol=1e-12)


def test_a_gaussian_of_no_width_leaves_the_data(data):
    assert torch.equal(gaussian(data, (0.0, 0.0, 0.0)), data)


@pytest.mark.parametrize(("sigma", "radius"), [(0.2, 1), (1.0, 3), (1.1, 4)])
def test_a_gaussian_kernel_is_cut_at_three_sigma_and_sums_to_one(sigma, radius):
    kernel = gaussian_kernel(sigma)
    assert kernel.numel() == 2 * radius + 1
    assert kernel.sum().item() == pytest.approx(1, abs=1e-12)
    assert torch.equal(kernel, kernel.flip(0))


def test_box_mean_agrees_with_scipy(data):
    expected = np.stack([ndimage.uniform_filter(part, 5, mode="nearest") for part in data.numpy()])
    assert torch.allclose(box_mean(data, 2), torch.from_numpy(expected), atol=1e-12)


def test_a_box_wider_than_the_image_still_takes_a_mean():
    ones = torch.ones(2, 3, 1)
    assert torch.allclose(box_mean(ones, 4), ones)


@pytest.mark.parametrize("axis", [-3, -2, -1])
def test_derivative_is_exact_for_a_polynomial_of_fourth_order(axis):
    x = torch.arange(9, dtype=torch.float64) * 0.5
    shape = [1, 1, 1]
    shape[axis] = 9
    slope = derivative((x**4 - 2 * x).reshape(shape), axis, 0.5).flatten()
    assert torch.allclose(slope[2:-2], (4 * x**3 - 2)[2:-2], atol=1e-9)


def test_filters_keep_float32():
    image = torch.ones(4, 4, 4)
    assert gaussian(image, (1.0, 1.0, 1.0)).dtype == box_mean(image, 1).dtype == torch.float32
