import pytest
import torch
from support.problems import LARGER, MATRIX, OFFSET_MM, affine_field

from graphreg.core.fields import jacobian_determinant
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField
from graphreg.core.unfolding import unfold

GRID = Grid((24, 26, 28), (2.0, 2.5, 3.0), (-40.0, 20.0, 5.0))
EVERYWHERE = torch.ones(GRID.shape, dtype=torch.bool)


def bump(depth_mm):
    """A push along x that reaches some 3 voxels around voxel (8, 8, 8): it folds behind where it is strong."""
    index = torch.stack(torch.meshgrid(*(torch.arange(n).double() for n in GRID.shape), indexing="ij"))
    push = depth_mm * torch.exp(-(index - 8).square().sum(0) / (2 * 1.5**2))
    return DenseField(GRID, torch.stack([push, 0 * push, 0 * push]))


@pytest.mark.parametrize("smallest", [0.01, 0.2, 0.5])
def test_a_field_that_folds_does_not_any_more_and_keeps_its_values(smallest):
    # steepest a standard deviation, 3 mm, from its middle, there by 9 / 3 e^(-1/2) = 1.8 in theory
    field = bump(9.0)
    assert jacobian_determinant(field).min() < -0.2
    assert jacobian_determinant(unfold(field, EVERYWHERE, smallest)).min() >= smallest
    assert torch.equal(field.displacement_mm, bump(9.0).displacement_mm)


def test_a_good_field_and_one_that_folds_outside_the_mask_are_returned_as_they_are():
    good, folding, mask = affine_field(LARGER, MATRIX, OFFSET_MM), bump(9.0), EVERYWHERE.clone()
    mask[:16, :16, :16] = False
    assert unfold(good, torch.ones(LARGER.shape) > 0, 0.1) is good and unfold(folding, mask, 0.1) is folding


def test_voxels_far_from_the_fold_stay_as_they_are(generator):
    gentle = 0.05 * torch.randn(3, *GRID.shape, generator=generator, dtype=torch.float64)
    field = DenseField(GRID, bump(9.0).displacement_mm + gentle)
    changed = (unfold(field, EVERYWHERE, 0.1).displacement_mm != field.displacement_mm).any(0)
    assert changed[8, 8, 8:11].any()
    assert not changed[18:].any() and not changed[:, 18:].any() and not changed[:, :, 18:].any()


def test_a_determinant_that_no_smoothing_gives_is_refused():
    # a translation has a determinant of one, however much it is smoothed
    field = affine_field(Grid((5, 6, 7), (2.0, 2.0, 2.0)), torch.eye(3, dtype=torch.float64), OFFSET_MM)
    with pytest.raises(ValueError, match="kept above 10 needed, found 210 voxels below"):
        unfold(field, torch.ones(5, 6, 7) > 0, smallest=10)
