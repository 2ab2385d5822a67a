"""Figures without landmarks, for motions whose figures are known by hand."""

import math

import pytest
import torch
from support.problems import LARGER, MATRIX, OBLIQUE, OFFSET_MM, affine_field

from graphreg.analysis.quality import regularity, similarity
from graphreg.core.grid import Grid, mask_volume_mm3
from graphreg.core.records import FeatureVolume

GRID = Grid((3, 4, 5), (1.0, 2.0, 3.0))


def still(grid):
    return affine_field(grid, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))


def test_an_affine_motion_changes_every_volume_by_its_determinant():
    mask = torch.ones(OBLIQUE.shape, dtype=torch.bool)
    found = regularity(affine_field(LARGER, MATRIX, OFFSET_MM), mask, OBLIQUE)
    assert found.mean_jacobian == pytest.approx(torch.linalg.det(MATRIX).item(), abs=1e-9)
    assert found.sdlogj == pytest.approx(0, abs=1e-6)
    assert found.folding_percent == 0


def test_figures_are_those_inside_the_mask():
    # x stretched to the double in the left part and turned inside out in the right one
    grid = Grid((6, 6, 10), (1.0, 1.0, 1.0))
    x = grid.points_mm(torch.zeros((), dtype=torch.float64))[..., 0]
    field = still(grid)
    field.displacement_mm[0] = torch.where(x < 5, x, -2 * x)
    left, right = x < 4, x > 6
    assert regularity(field, left, grid).mean_jacobian == pytest.approx(2)
    assert regularity(field, left, grid).folding_percent == 0
    assert regularity(field, right, grid).folding_percent == 100
    assert regularity(field, left | right, grid).folding_percent == pytest.approx(100 * 3 / 7)


def test_the_spread_is_that_of_the_logarithm():
    # half of the mask keeps its volume, half doubles it: logarithms 0 and log 2
    grid = Grid((4, 4, 12), (1.0, 1.0, 1.0))
    x = grid.points_mm(torch.zeros((), dtype=torch.float64))[..., 0]
    field = still(grid)
    field.displacement_mm[0] = (x - 5).clamp_min(0)
    mask = ((x >= 1) & (x < 5)) | ((x > 6) & (x < 11))
    assert regularity(field, mask, grid).sdlogj == pytest.approx(math.log(2) / 2, abs=1e-9)


def test_the_mask_is_looked_up_on_its_own_grid_and_one_apart_from_the_field_is_refused():
    # the mask lies on a finer grid that holds the right half of the field only
    field_grid = Grid((4, 4, 8), (2.0, 2.0, 2.0))
    x = field_grid.points_mm(torch.zeros((), dtype=torch.float64))[..., 0]
    field = still(field_grid)
    field.displacement_mm[0] = 0.5 * (x - 6).clamp_min(0)  # grows from x = 6 mm on
    mask_grid = Grid((7, 7, 6), (1.0, 1.0, 1.0), (9.0, 0.0, 0.0))
    found = regularity(field, torch.ones(7, 7, 6, dtype=torch.bool), mask_grid)
    assert found.mean_jacobian == pytest.approx(1.5, abs=1e-9)
    far = Grid(GRID.shape, GRID.spacing_mm, (500.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="overlaps the field"):
        regularity(still(GRID), torch.ones(GRID.shape, dtype=torch.bool), far)


def test_similarity_is_one_less_the_mean_difference_inside_the_mask_also_for_swapped_images(generator):
    one, other = torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)
    mask = torch.zeros(3, 4, 5, dtype=torch.bool)
    mask[0, 0, :4] = True
    other[0, 0, 0, 0] = 0.8  # inside: one of four voxels in one of two channels
    other[1, 2, 3, 4] = 1.0  # outside
    assert similarity(FeatureVolume(GRID, one), FeatureVolume(GRID, other), mask) == pytest.approx(1 - 0.8 / 8)
    assert similarity(FeatureVolume(GRID, one), FeatureVolume(GRID, one), mask) == 1
    this, that = (FeatureVolume(GRID, torch.rand(12, 3, 4, 5, generator=generator)) for _ in range(2))
    mask = torch.rand(3, 4, 5, generator=generator) < 0.5
    assert similarity(this, that, mask) == similarity(that, this, mask) < 0.9


def test_the_volume_of_a_mask_is_in_cubic_millimetres():
    mask = torch.zeros(3, 4, 5, dtype=torch.bool)
    mask[1, :2, :] = True
    assert mask_volume_mm3(mask, GRID) == 10 * 6.0
