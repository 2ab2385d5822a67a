"""Costs against plain loops; the sign and the axis of a true translation; what leaves the costs as they are."""

import itertools
from dataclasses import replace

import pytest
import torch
from support.problems import smooth_noise

from graphreg.core.cubes import label_grid
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import FeatureVolume, Keypoints
from graphreg.features.mind_ssc import MindSSC
from graphreg.matching.cost_volume import DisplacementSearch, patch_offsets
from graphreg.runtime import chunks

GRID = Grid((14, 15, 17), (1.5, 1.5, 1.5), (-100.5, 30.0, 12.0))
CONFIG = DisplacementSearch(radius_mm=6.0, step_mm=3.0, patch=1)


def features(generator, grid=GRID):
    return FeatureVolume(grid, torch.rand(4, *grid.shape, generator=generator, dtype=torch.float64))


def keypoints_at(indices, grid=GRID):
    return Keypoints(grid.to_mm(torch.tensor(indices, dtype=torch.float64)))


def plain_cost(fixed, moving, voxel, step, patch, weights=None):
    """mean_o |f(p + o) - m(p + d + o)|^2 by a loop over the patch; voxels beyond the border are those of the border."""

    def at(data, index):
        z, y, x = (min(max(i, 0), n - 1) for i, n in zip(index, data.shape[-3:], strict=True))
        return data[..., z, y, x]

    total, count = 0.0, 0.0
    for offset in patch:
        here = [v + o for v, o in zip(voxel, offset, strict=True)]
        there = [h + s for h, s in zip(here, step, strict=True)]
        weight = 1.0 if weights is None else at(weights, here).item()
        total += weight * (at(fixed, here) - at(moving, there)).square().mean().item()
        count += weight
    return total / count


# by hand: the corners of a cube of half-width one and its centre, in label steps of two voxels
CORNERS = [*itertools.product((-2, 2), repeat=3), (0, 0, 0)]
INDICES = [[6, 7, 8], [0, 0, 0], [13, 14, 16], [5, 2, 15], [1, 12, 3]]


def assert_loops(fixed, moving, config, patch, stride=2, weights=None):
    """That the costs are those of loops over keypoints, labels and a patch."""
    found = config(fixed, moving, keypoints_at(INDICES), weights)
    side = found.costs.shape[1]
    assert found.costs.shape == (5, side, side, side)
    for n, voxel in enumerate(INDICES):
        for label in itertools.product(range(side), repeat=3):
            step = [stride * (k - side // 2) for k in label]
            cost = plain_cost(fixed.data, moving.data, voxel, step, patch, weights)
            if config.symmetric:
                mirrored = [-s for s in step]
                cost = (cost + plain_cost(moving.data, fixed.data, voxel, mirrored, patch, weights)) / 2
            assert found.costs[(n, *label)].item() == pytest.approx(cost, abs=1e-12)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("radius_mm", "weighted"), [(6, False), (3, True)])
def test_costs_agree_with_loops_over_keypoints_labels_and_patch(generator, symmetric, radius_mm, weighted):
    fixed, moving = features(generator), features(generator)
    weights = torch.rand(GRID.shape, generator=generator, dtype=torch.float64) if weighted else None
    config = DisplacementSearch(radius_mm=radius_mm, step_mm=3, patch=1, symmetric=symmetric)
    assert_loops(fixed, moving, config, CORNERS, weights=weights)


def test_what_lies_outside_a_mask_of_weights_does_not_count_in_a_patch(generator):
    fixed, moving = features(generator), features(generator)
    mask = torch.zeros(GRID.shape, dtype=torch.bool)
    mask[:, :, :9] = True
    wall = FeatureVolume(GRID, torch.where(mask, fixed.data, 5.0))
    at = keypoints_at([[6, 7, 7], [8, 7, 8]])
    here, there = (CONFIG(f, moving, at, mask).costs for f in (fixed, wall))
    assert torch.equal(here, there)
    assert not torch.allclose(CONFIG(fixed, moving, at).costs, CONFIG(wall, moving, at).costs)


def test_equal_weights_of_any_size_change_nothing_and_those_of_another_shape_are_refused(generator):
    fixed, moving = features(generator), features(generator)
    plain = CONFIG(fixed, moving, keypoints_at(INDICES)).costs
    equal = CONFIG(fixed, moving, keypoints_at(INDICES), torch.full(GRID.shape, 7.0)).costs
    assert torch.allclose(equal, plain, atol=1e-12)
    same = features(generator)
    with pytest.raises(ValueError, match=r"Patch weights must be \(14, 15, 17\), got \(2, 2, 2\)"):
        CONFIG(same, same, keypoints_at(INDICES), torch.ones(2, 2, 2))


def test_lowest_cost_is_at_the_true_translation_in_millimetres(generator):
    # What is at p in the fixed image is in the moving image at p + (3, -6, 1.5) mm: by hand, moved by +2 voxels of
    # 1.5 mm along x (the last axis), by -4 along y and by +1 along z.
    fixed = features(generator)
    moving = FeatureVolume(GRID, fixed.data.roll((1, -4, 2), (1, 2, 3)))
    for symmetric in (False, True):
        config = DisplacementSearch(radius_mm=7.5, step_mm=1.5, patch=1, symmetric=symmetric)
        found = config(fixed, moving, keypoints_at([[7, 8, 8], [6, 9, 7]]))
        lowest, best = found.costs.flatten(1).min(1)
        assert found.offsets_mm[best].tolist() == [[3.0, -6.0, 1.5]] * 2
        if not symmetric:
            assert lowest.abs().max() < 1e-12


def test_lowest_cost_of_images_is_at_the_true_translation(generator):
    grid = Grid((24, 26, 28), (1.5, 1.5, 1.5), (-100.5, 30.0, 12.0))
    image = smooth_noise(grid, generator, 1.0)
    moved = type(image)(grid, image.data.roll((1, -4, 2), (0, 1, 2)))
    config = DisplacementSearch(radius_mm=7.5, step_mm=1.5, patch=2)
    found = config(MindSSC()(image), MindSSC()(moved), keypoints_at([[12, 14, 13], [11, 12, 15]], grid))
    assert found.offsets_mm[found.costs.flatten(1).argmin(1)].tolist() == [[3.0, -6.0, 1.5]] * 2


def test_an_image_costs_nothing_against_itself_without_displacement(generator):
    same = features(generator)
    found = CONFIG(same, same, keypoints_at(INDICES))
    assert found.costs[:, 2, 2, 2].abs().max() < 1e-12
    assert found.costs.flatten(1).argmin(1).tolist() == [62] * 5  # the centre of 125 labels


def test_symmetric_costs_of_swapped_images_are_those_of_opposite_displacements(generator):
    fixed, moving = features(generator), features(generator)
    config = DisplacementSearch(radius_mm=6.0, step_mm=3.0, patch=2, symmetric=True)
    forth = config(fixed, moving, keypoints_at(INDICES)).costs
    back = config(moving, fixed, keypoints_at(INDICES)).costs
    assert torch.allclose(back, forth.flip(1, 2, 3), atol=1e-12)


def test_mirrored_features_have_mirrored_costs(generator):
    fixed, moving = features(generator), features(generator)
    here = CONFIG(fixed, moving, keypoints_at([[6, 7, 8]])).costs
    for axis, (size, centre) in enumerate(zip(GRID.shape, (6, 7, 8), strict=True)):
        one, other = (FeatureVolume(GRID, f.data.flip(axis + 1)) for f in (fixed, moving))
        index = [6, 7, 8]
        index[axis] = size - 1 - centre
        there = CONFIG(one, other, keypoints_at([index])).costs
        assert torch.allclose(there.flip(axis + 1), here, atol=1e-12)


@pytest.mark.parametrize("symmetric", [False, True])
def test_what_is_worked_on_at_once_does_not_change_the_costs(generator, symmetric, monkeypatch):
    fixed, moving = features(generator), features(generator)
    found = []
    for numbers in (1 << 20, 2 * 35 * 9**3):  # all keypoints, two of them
        monkeypatch.setattr(chunks, "CACHED", numbers)
        config = DisplacementSearch(radius_mm=6, step_mm=3, symmetric=symmetric)
        found.append(config(fixed, moving, keypoints_at(INDICES)).costs)
    assert torch.allclose(found[0], found[1], atol=1e-12)


@pytest.mark.parametrize("step_mm", [1.5, 3.0, 4.5])
def test_costs_of_a_whole_patch_agree_with_loops_whatever_the_label_step(generator, step_mm):
    fixed, moving = features(generator), features(generator)
    config = DisplacementSearch(radius_mm=step_mm, step_mm=step_mm, patch=1, full_patch=True)
    stride = round(step_mm / 1.5)
    assert_loops(fixed, moving, config, list(itertools.product((-stride, 0, stride), repeat=3)), stride)


def test_a_keypoint_between_voxels_is_that_of_the_nearest_voxel(generator):
    fixed, moving = features(generator), features(generator)
    at, beside = (CONFIG(fixed, moving, keypoints_at([i])).costs for i in ([6.0, 7.0, 8.0], [6.3, 6.6, 8.4]))
    assert torch.equal(at, beside)


def test_the_label_step_is_rounded_to_voxels_and_the_labels_say_so(generator):
    same = features(generator)
    found = DisplacementSearch(radius_mm=7.0, step_mm=2.6, patch=1)(same, same, keypoints_at(INDICES))
    assert found.labels.spacing_mm == (3.0, 3.0, 3.0)  # two voxels of 1.5 mm
    assert found.labels.origin_mm == (-9.0, -9.0, -9.0)  # the radius is rounded up to whole steps


def test_labels_run_from_minus_to_plus_the_radius_with_x_fastest():
    labels = label_grid(radius_mm=4.0, step_mm=2.0)
    assert labels == Grid((5, 5, 5), (2.0, 2.0, 2.0), (-4.0, -4.0, -4.0))
    offsets = labels.points_mm(torch.zeros(())).reshape(-1, 3)
    assert offsets[[0, 1, 5, 25, 62, 124]].tolist() == [
        [-4, -4, -4],
        [-2, -4, -4],
        [-4, -2, -4],
        [-4, -4, -2],
        [0, 0, 0],
        [4, 4, 4],
    ]


def test_patches_are_body_centred_lattices_of_1_9_35_and_91_samples():
    assert [len(patch_offsets(radius)) for radius in (0, 1, 2, 3)] == [1, 9, 35, 91]
    by_hand = sorted([list(corner) for corner in itertools.product((-1, 1), repeat=3)] + [[0, 0, 0]])
    assert sorted(patch_offsets(1).tolist()) == by_hand
    for radius in (1, 2, 3):
        offsets = {tuple(offset) for offset in patch_offsets(radius).tolist()}
        assert len(offsets) == len(patch_offsets(radius)) and (radius,) * 3 in offsets
        assert offsets == {tuple(-o for o in offset) for offset in offsets}


def test_a_patch_of_half_width_zero_is_the_keypoint_alone(generator):
    fixed, moving = features(generator), features(generator)
    assert_loops(fixed, moving, DisplacementSearch(radius_mm=3, step_mm=3, patch=0), [(0, 0, 0)])


def test_rounding_makes_no_cost_negative_and_a_keypoint_whose_patch_has_no_weight_costs_nothing(generator):
    same = FeatureVolume(GRID, torch.rand(4, *GRID.shape, generator=generator))
    every = [list(index) for index in itertools.product(range(3, 11), range(3, 12), range(3, 14))]
    costs = DisplacementSearch(radius_mm=1.5, step_mm=1.5, patch=1)(same, same, keypoints_at(every)).costs
    assert costs.dtype == torch.float32 and costs.min() >= 0
    fixed, moving = features(generator), features(generator)
    nowhere = torch.zeros(GRID.shape)
    assert not CONFIG(fixed, moving, keypoints_at(INDICES), nowhere).costs.any()


def test_features_on_different_grids_are_refused(generator):
    other = Grid(GRID.shape, GRID.spacing_mm, (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="one grid"):
        CONFIG(features(generator), features(generator, other), keypoints_at(INDICES))


@pytest.mark.parametrize("symmetric", [False, True])
def test_features_of_different_numbers_of_channels_are_refused(generator, symmetric):
    fixed, fewer = features(generator), FeatureVolume(GRID, features(generator).data[:3])
    with pytest.raises(InputError, match="same number of channels, got 4 fixed and 3 moving"):
        replace(CONFIG, symmetric=symmetric)(fixed, fewer, keypoints_at(INDICES))


@pytest.mark.parametrize(
    "grid",
    [
        Grid(GRID.shape, (1.5, 1.5, 1.6)),
        Grid(GRID.shape, (1.5, 1.5, 1.5), direction=((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))),
    ],
)
def test_an_anisotropic_or_turned_grid_is_refused(generator, grid):
    same = features(generator, grid)
    with pytest.raises(ValueError, match="isotropic grid along the LPS axes"):
        CONFIG(same, same, keypoints_at(INDICES, grid))
