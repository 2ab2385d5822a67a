import math

import numpy as np
import pytest
import torch
from support.problems import OBLIQUE, grid_of, scaled

from graphreg.analysis.regions import label_regions, log_jacobian, measure
from graphreg.anatomy.lung_ct.sides import lung_regions
from graphreg.anatomy.lung_ct.ventilation import (
    MAPS,
    VentilationConfig,
    air_ratio,
    block_labels,
    breath_ratio,
    hu_ventilation,
    integrated,
    lung_mass_g,
    mass_corrected,
    smooth_within,
    ventilation,
    volume_consistency,
)
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField, ImagePair, Volume

EXHALE_HU = -700.0  # 0.3 g/ml
INHALE_HU = -1000 + 300 / 1.331  # the same mass in 1.1^3 of the volume
AIR = 0.331 / 0.7  # that came in, over the air at exhale
SMALL = Grid((10, 12, 14), (3.0, 2.0, 2.5), (-16.0, -11.0, -13.0))


def breath(fixed_is_inhale):
    """A piece of lung that grows by a tenth along each axis, and the motion between its images."""
    scale = 1 / 1.1 if fixed_is_inhale else 1.1
    lungs = torch.zeros(SMALL.shape, dtype=torch.bool)
    lungs[2:-2, 2:-2, 2:-2] = True
    # the same array on a grid that is larger or smaller by the scale: every voxel holds the tissue it held
    moving = scaled(SMALL, scale)
    fixed_hu, moving_hu = (INHALE_HU, EXHALE_HU) if fixed_is_inhale else (EXHALE_HU, INHALE_HU)
    one, other = (Volume(g, torch.where(lungs, hu, 40.0)) for g, hu in ((SMALL, fixed_hu), (moving, moving_hu)))
    displacement_mm = (scale - 1) * SMALL.points_mm(torch.zeros(1)).movedim(-1, 0)
    return ImagePair(one, other, lungs, lungs), DenseField(SMALL, displacement_mm)


@pytest.mark.parametrize("fixed_is_inhale", [True, False])
def test_a_breath_without_loss_of_mass_is_the_same_by_motion_and_by_hu_whichever_image_is_fixed(fixed_is_inhale):
    pair, field = breath(fixed_is_inhale)
    maps = ventilation(pair, field, fixed_is_inhale)
    assert tuple(maps) == MAPS
    expected = {"jac": 0.331, "integrated": 0.331, "hu": AIR, "hu_mass": AIR, "sacj": AIR}
    for name, values in maps.items():
        assert torch.equal(values.isfinite(), pair.fixed_mask)
        assert torch.allclose(values[pair.fixed_mask], torch.tensor(expected[name]), atol=2e-4)


def test_a_breath_is_as_large_seen_from_either_end():
    jacobian = torch.tensor([1.331, 1.0, 2.0])
    assert torch.equal(breath_ratio(jacobian, fixed_is_inhale=False), jacobian)
    assert torch.allclose(breath_ratio(1 / jacobian, fixed_is_inhale=True), jacobian)


def test_formulas_by_hand_and_a_doubled_mass_is_refused():
    inhale, exhale = torch.tensor([-800.0]), torch.tensor([-600.0])
    # 1000 * -200 / (-600 * 200): twice the volume at half the density, of which 0.6 was air
    assert hu_ventilation(inhale, exhale).item() == pytest.approx(5 / 3)
    # 2 * 0.8 / 0.6: from 0.6 to 1.6 ml of air
    assert air_ratio(torch.tensor([2.0]), inhale, exhale).item() == pytest.approx(8 / 3)
    # a tenth more mass at inhale: 0.2 g/ml count as 0.18
    assert mass_corrected(inhale, 110.0, 100.0).item() == pytest.approx(-820)
    assert log_jacobian(torch.tensor([math.e, -1.0])).tolist() == pytest.approx([1, math.log(1e-9)])
    with pytest.raises(ValueError, match="less than twice the mass .* found 200 against 100 g"):
        mass_corrected(torch.tensor([-800.0]), 200.0, 100.0)


def test_mass_is_that_of_tissue_among_air():
    hu = torch.tensor([-500.0, -250.0, -249.0, -1000.0, -900.0]).reshape(1, 1, 5)
    mask = torch.tensor([True, True, True, True, False]).reshape(1, 1, 5)
    volume = Volume(Grid((1, 1, 5), (10.0, 20.0, 5.0)), hu)  # 1 ml each
    assert lung_mass_g(volume, mask) == pytest.approx(0.5 + 0.75)


def test_integrated_regions_have_their_mean_and_give_the_volume_of_the_moving_mask_back(generator):
    jacobian, regions = torch.tensor([[[1.0, 2.0, 3.0, 2.0, 99.0]]]), torch.tensor([[[1, 1, 2, 2, 0]]])
    # means 1.5 and 2.5 of 2 in all, halved to a ratio of 1: 0.75 and 1.25
    exhale_fixed = integrated(jacobian, regions, 1.0, fixed_is_inhale=False)
    assert exhale_fixed[0, 0, :4].tolist() == pytest.approx([-0.25, -0.25, 0.25, 0.25])
    inhale_fixed = integrated(jacobian, regions, 1.0, fixed_is_inhale=True)
    assert inhale_fixed[0, 0, :4].tolist() == pytest.approx([1 / 3, 1 / 3, -0.2, -0.2])
    jacobian = 0.5 + torch.rand(SMALL.shape, generator=generator, dtype=torch.float64)
    mask = torch.rand(SMALL.shape, generator=generator) < 0.7
    blocks = block_labels(mask, SMALL, 9.0)
    for fixed_is_inhale in (True, False):
        change = integrated(jacobian, blocks, 0.8, fixed_is_inhale)[mask] + 1
        moving = 1 / change if fixed_is_inhale else change
        assert moving.mean().item() == pytest.approx(0.8)


def test_blocks_are_as_long_in_millimetres_along_every_axis():
    grid = Grid((4, 6, 3), (8.0, 2.0, 4.0))
    mask = torch.ones(grid.shape, dtype=torch.bool)
    mask[0, 0, 0] = False
    blocks = block_labels(mask, grid, 8.0)  # 2 x 4 x 1 voxels: z, y, x
    assert blocks[0, 0, 0] == 0
    assert len(blocks[mask].unique()) == 2 * 2 * 3
    assert blocks[1, 3, 1] == blocks[0, 0, 1] != blocks[2, 3, 1]
    assert blocks[0, 4, 1] != blocks[0, 3, 1]


def test_smoothing_does_not_see_what_lies_outside_the_mask(generator):
    mask = torch.zeros(OBLIQUE.shape, dtype=torch.bool)
    mask[1:4, 2:5, 2:7] = True
    data = torch.where(mask, 5.0, 1000 * torch.rand(OBLIQUE.shape, generator=generator))
    smooth = smooth_within(data, mask, OBLIQUE, 4.0)
    assert torch.allclose(smooth, torch.where(mask, 5.0, 0.0))
    values = torch.where(mask, torch.rand(OBLIQUE.shape, generator=generator), 0)
    assert torch.equal(smooth_within(values, mask, OBLIQUE, 0.0), values)
    assert smooth_within(values, mask, OBLIQUE, 4.0)[mask].std() < values[mask].std() / 2


def test_hu_maps_have_no_value_where_either_image_shows_no_air():
    pair, field = breath(fixed_is_inhale=False)
    lungs = pair.fixed_mask
    assert lungs is not None
    data = pair.fixed.data.clone()
    data[4:6, 4:6, 4:6] = -240.0
    other = lungs.clone()
    other[:, :, 9:] = False  # seen from the fixed lungs, this is no lung in the moving image
    changed = ImagePair(Volume(SMALL, data), pair.moving, lungs, other)
    maps = ventilation(changed, field, False, VentilationConfig(smoothing_mm=0.0))
    known = lungs & other
    known[4:6, 4:6, 4:6] = False
    for name in ("hu", "hu_mass", "sacj"):
        assert torch.equal(maps[name].isfinite(), known)
    assert torch.equal(maps["jac"].isfinite(), lungs)


def test_a_folding_field_or_a_missing_mask_is_refused():
    pair, field = breath(fixed_is_inhale=False)
    mirror = DenseField(SMALL, -2 * SMALL.points_mm(torch.zeros(1)).movedim(-1, 0))
    with pytest.raises(ValueError, match=r"does not fold in the lungs needed, found a Jacobian <= 0 in 1e\+02 %"):
        ventilation(pair, mirror, True)
    with pytest.raises(ValueError, match="both lung masks"):
        ventilation(ImagePair(pair.fixed, pair.moving), field, True)


@pytest.mark.parametrize("wrong", [{"smoothing_mm": -1.0}, {"block_mm": 0.0}, {"air_hu": (-250.0, -900.0)}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        VentilationConfig(**wrong)


def test_volumes_agree_to_a_per_cent():
    assert volume_consistency(0.8, 0.75).difference_percent == pytest.approx(100 / 15)


# regions


def two_boxes(grid, right, left):
    """Boxes over ranges of x in mm, of the inner y and z."""
    points_mm = grid.points_mm(torch.zeros(1, dtype=torch.float64))
    x = points_mm[..., 0]
    return sum((x >= low) & (x <= high) for low, high in (right, left)) > 0


@pytest.mark.parametrize("flip", [True, False])
def test_the_left_lung_is_the_one_of_larger_x_whatever_the_storage(flip):
    grid = grid_of((6, 8, 30), [2.0, 3.0, 4.0], [40.0, -10.0, 5.0], [3.0, -4.0, 2.0], flip=flip)
    low = grid.corners_mm()[:, 0].min().item()
    mask = two_boxes(grid, (low + 10, low + 28), (low + 34, low + 42))
    regions = lung_regions(mask, grid)
    assert torch.equal(regions["lungs"], mask)
    assert torch.equal(regions["right lung"], two_boxes(grid, (low + 10, low + 28), (0, -1)))
    assert torch.equal(regions["left lung"], two_boxes(grid, (0, -1), (low + 34, low + 42)))


def test_joined_lungs_are_parted_in_the_middle_of_their_width():
    grid = Grid((4, 5, 20), (1.0, 1.0, 1.0))
    mask = torch.zeros(grid.shape, dtype=torch.bool)
    mask[:, :, 2:10] = True  # 2 to 9 and 12 to 17 mm, joined; the middle lies at 9.5 mm
    mask[:, :, 12:18] = True
    mask[2, 2, 10:12] = True
    assert lung_regions(mask, grid)["right lung"].nonzero()[:, 2].unique().tolist() == list(range(2, 10))


def test_lungs_that_reach_across_the_middle_stay_whole_and_crumbs_or_a_part_above_make_no_second_lung():
    grid = Grid((4, 5, 20), (1.0, 1.0, 1.0))
    mask = torch.zeros(grid.shape, dtype=torch.bool)
    mask[:, :2, :13] = True  # the right lung reaches beyond the middle
    mask[:, 3:, 10:] = True
    mask[0, 0, 18] = True
    right = lung_regions(mask, grid)["right lung"]
    assert right[:, :2, :13].all() and right.sum() == 4 * 2 * 13
    grid = Grid((9, 5, 20), (1.0, 1.0, 1.0))
    for other in (slice(5, 9), slice(8, 9)):
        mask = torch.zeros(grid.shape, dtype=torch.bool)
        mask[:4] = True
        mask[other] = True
        regions = lung_regions(mask, grid)
        assert torch.equal(regions["left lung"].nonzero()[:, 2].unique(), torch.arange(10, 20))


def test_a_label_has_the_moving_volume_of_the_integral_of_the_determinant_and_none_without_values():
    # x -> x + 0.01 x^2: the determinant 1 + 0.02 x is 1, 1.1, 1.2, 1.3 in the four columns, of 0.5 ml each
    grid = Grid((2, 5, 4), (5.0, 2.0, 5.0))
    x = grid.points_mm(torch.zeros(1, dtype=torch.float64))[..., 0]
    labels = torch.zeros(grid.shape, dtype=torch.long)
    labels[..., 1], labels[..., 2:] = 4, 9
    values = torch.where(x == 15, torch.nan, x)
    rows = [
        measure(f"label {number}", number, mask, 1 + 0.02 * x, {"x": values}, grid).row()
        for number, mask in label_regions(labels)
    ]
    expected = [["label 4", 4, 0.5, 0.55, 10, 5, 0, 5, 100], ["label 9", 9, 1, 1.25, 25, 10, 0, 10, 50]]
    columns = "region,number,fixed_ml,moving_ml,change_percent,x_mean,x_sd,x_median,x_known_percent"
    assert [",".join(row) for row in rows] == [columns] * 2
    for row, numbers in zip(rows, expected, strict=True):
        assert list(row.values())[2:] == pytest.approx(numbers[2:])
        assert list(row.values())[:2] == numbers[:2]
    empty = measure(
        "a", None, torch.ones(1, 1, 2) > 0, torch.ones(1, 1, 2), {"m": torch.full((1, 1, 2), np.nan)}, SMALL
    )
    assert math.isnan(empty.maps["m"].mean) and empty.maps["m"].known_percent == 0
