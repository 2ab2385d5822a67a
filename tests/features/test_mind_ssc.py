"""MIND-SSC against a loop over voxels, and what it must not depend on."""

import itertools
import math

import numpy as np
import pytest
import torch
from support.problems import smooth_noise

from graphreg.core.grid import Grid
from graphreg.core.records import Volume
from graphreg.features.mind_ssc import PAIRS, MindSSC, mind_ssc

GRID = Grid((9, 10, 12), (1.5, 1.5, 1.5), (-100.0, 30.0, 12.0))


@pytest.fixture
def data(generator):
    return smooth_noise(GRID, generator, 1.0).data


def heinrich(data, dilation, radius):
    """MIND-SSC (12, D, H, W) as in Heinrich et al. 2013, one voxel, pair and patch sample at a time."""
    margin = dilation + radius
    padded = np.pad(data, margin, mode="edge")
    six = [np.array(v) * dilation for v in ((0, 0, 1), (0, 0, -1), (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0))]
    pairs = [(a, b) for a, b in itertools.combinations(six, 2) if a @ b == 0]
    patch = list(itertools.product(range(-radius, radius + 1), repeat=3))
    distances = np.zeros((12, *data.shape))
    for voxel in np.ndindex(*data.shape):
        for channel, (a, b) in enumerate(pairs):
            here = [padded[tuple(np.add(voxel, a) + o + margin)] for o in patch]
            there = [padded[tuple(np.add(voxel, b) + o + margin)] for o in patch]
            distances[(channel, *voxel)] = np.mean((np.array(here) - np.array(there)) ** 2)
    distances -= distances.min(0)
    variance = distances.mean(0)
    return np.exp(-distances / variance.clip(1e-3 * variance.mean(), 1e3 * variance.mean()))


@pytest.mark.parametrize(("dilation", "radius"), [(1, 1), (2, 1), (2, 0), (1, 2)])
def test_descriptor_agrees_with_a_loop_over_voxels_up_to_the_border(data, dilation, radius):
    small = data[:5, :6, :7]
    expected = torch.from_numpy(heinrich(small.numpy(), dilation, radius))
    assert torch.allclose(mind_ssc(small, dilation, radius), expected, atol=1e-9)


def test_one_bright_voxel_shows_the_order_of_the_channels():
    # By hand: seen from the voxel to its left, the bright voxel is the neighbour at +x. The four pairs with +x differ
    # by 1, the other eight not at all: v = 4 / 12 and exp(-1 / v) = exp(-3).
    data = torch.zeros(7, 7, 7, dtype=torch.float64)
    data[3, 3, 3] = 1
    features = mind_ssc(data, 1, 0)
    of = {"+x": (0, 1, 2, 3), "-x": (4, 5, 6, 7), "+y": (0, 4, 8, 9), "-y": (1, 5, 10, 11), "+z": (2, 6, 8, 10)}
    of["-z"] = (3, 7, 9, 11)
    seen_from = {"+x": (3, 3, 2), "-x": (3, 3, 4), "+y": (3, 2, 3), "-y": (3, 4, 3), "+z": (2, 3, 3), "-z": (4, 3, 3)}
    for name, voxel in seen_from.items():
        expected = [math.exp(-3) if channel in of[name] else 1.0 for channel in range(12)]
        assert features[(slice(None), *voxel)].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("contrast", [0.3, -1.0])
def test_descriptor_ignores_brightness_and_contrast_and_its_sign(data, contrast):
    assert torch.allclose(mind_ssc(contrast * data + 250, 2, 1), mind_ssc(data, 2, 1), atol=1e-9)


def test_descriptor_moves_with_the_image(data):
    features, moved = mind_ssc(data, 1, 1), mind_ssc(data.roll((1, -2, 2), (0, 1, 2)), 1, 1)
    # compared three voxels inside, up to the factor that both clamp their variance with
    inside = (slice(None), slice(4, 6), slice(3, 5), slice(5, 7))
    assert torch.allclose(moved[inside], features.roll((1, -2, 2), (1, 2, 3))[inside], atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_image_has_mirrored_descriptors_with_swapped_neighbours(data, axis):
    def mirrored(offset):
        return tuple(-o if a == axis else o for a, o in enumerate(offset))

    pairs = [frozenset(pair) for pair in PAIRS]
    swapped = [pairs.index(frozenset(map(mirrored, pair))) for pair in PAIRS]
    assert swapped != list(range(12))
    found = mind_ssc(data.flip(axis), 2, 1).flip(axis + 1)
    assert torch.allclose(found[swapped], mind_ssc(data, 2, 1), atol=1e-9)


def test_values_lie_above_zero_the_best_pair_has_one_and_none_is_infinite_without_contrast(data):
    features = mind_ssc(data.float(), 1, 1)
    assert features.min() >= 0 and torch.equal(features.amax(0), torch.ones(GRID.shape))
    assert torch.equal(mind_ssc(torch.zeros(4, 5, 6), 1, 1), torch.ones(12, 4, 5, 6))


def test_lengths_are_in_millimetres_and_an_anisotropic_grid_is_refused(data):
    # on a grid of 1.5 mm, 3 mm and 1.5 mm are two and one voxels
    features = MindSSC(dilation_mm=3.0, radius_mm=1.5)(Volume(GRID, data))
    assert features.grid == GRID
    assert torch.equal(features.data, mind_ssc(data, 2, 1))
    with pytest.raises(ValueError, match="isotropic grid, got a spacing of"):
        MindSSC()(Volume(Grid((4, 4, 4), (1.0, 1.0, 1.1)), torch.zeros(4, 4, 4)))
