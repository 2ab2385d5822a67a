import numpy as np
import pytest
import torch
from scipy import ndimage

from graphreg.core.filters import box_max, box_sum, correlate, derivative, gaussian, gaussian_kernel
from graphreg.runtime import chunks


@pytest.fixture
def data(generator):
    return torch.randn(2, 6, 7, 9, generator=generator, dtype=torch.float64)


def test_correlation_does_not_turn_the_kernel_round_and_filters_keep_float32():
    row = torch.tensor([[[1.0, 2.0, 4.0]]])
    # each voxel takes its left neighbour once and its right neighbour ten times, the border standing for itself
    assert correlate(row, torch.tensor([1.0, 0.0, 10.0]), -1).tolist() == [[[21, 41, 42]]]
    image = torch.ones(4, 4, 4)
    assert gaussian(image, (1.0, 1.0, 1.0)).dtype == box_sum(image, 1).dtype == torch.float32


def test_gaussian_agrees_with_scipy_and_one_of_no_width_leaves_the_data(data):
    sigma = (0.6, 1.0, 1.7)
    expected = np.stack(
        [ndimage.gaussian_filter(part, sigma, mode="nearest", radius=(2, 3, 6)) for part in data.numpy()]
    )
    assert torch.allclose(gaussian(data, sigma), torch.from_numpy(expected), atol=1e-12)
    assert torch.equal(gaussian(data, (0.0, 0.0, 0.0)), data)


@pytest.mark.parametrize(("sigma", "radius"), [(0.2, 1), (1.0, 3), (1.1, 4)])
def test_a_gaussian_kernel_is_cut_at_three_sigma_and_sums_to_one(sigma, radius):
    kernel = gaussian_kernel(sigma)
    assert kernel.numel() == 2 * radius + 1
    assert kernel.sum().item() == pytest.approx(1, abs=1e-12)
    assert torch.equal(kernel, kernel.flip(0))


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_a_box_sum_agrees_with_scipy_where_the_whole_box_lies_in_the_data_and_leaves_them(data, radius):
    side, before = 2 * radius + 1, data.clone()
    expected = np.stack([side**3 * ndimage.uniform_filter(part, side) for part in data.numpy()])
    inside = (slice(None), *(slice(radius, n - radius) for n in data.shape[1:]))
    assert torch.allclose(box_sum(data, radius), torch.from_numpy(expected[inside]), atol=1e-12)
    assert torch.equal(data, before)


@pytest.mark.parametrize("radius", [(0, 1, 3), (2, 9, 1)])
def test_the_largest_of_a_box_agrees_with_scipy(data, radius):
    size = [2 * r + 1 for r in radius]
    expected = np.stack([ndimage.maximum_filter(part, size, mode="nearest") for part in data.numpy()])
    assert torch.equal(box_max(data, radius), torch.from_numpy(expected))


@pytest.mark.parametrize("axis", [-3, -2, -1])
def test_a_kernel_wider_than_the_image_agrees_with_scipy_and_derivative_is_exact_for_a_fourth_order(data, axis):
    kernel = torch.arange(1.0, 24.0, dtype=torch.float64)
    expected = np.stack([ndimage.correlate1d(part, kernel.numpy(), axis, mode="nearest") for part in data.numpy()])
    assert torch.allclose(correlate(data, kernel, axis), torch.from_numpy(expected), atol=1e-10)
    x = torch.arange(9, dtype=torch.float64) * 0.5
    shape = [1, 1, 1]
    shape[axis] = 9
    slope = derivative((x**4 - 2 * x).reshape(shape), axis, 0.5).flatten()
    assert torch.allclose(slope[2:-2], (4 * x**3 - 2)[2:-2], atol=1e-9)


def test_what_is_worked_on_at_once_does_not_change_a_filter(data, monkeypatch):
    whole = gaussian(data, (0.6, 1.0, 1.7))
    kernel = torch.arange(5.0, dtype=torch.float64)
    along = [correlate(data[0], kernel, axis) for axis in range(-3, 3)]
    monkeypatch.setattr(chunks, "CACHED", 1)
    assert torch.equal(gaussian(data, (0.6, 1.0, 1.7)), whole)
    for axis, expected in zip(range(-3, 3), along, strict=True):
        assert torch.equal(correlate(data[0], kernel, axis), expected)
