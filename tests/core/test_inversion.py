import pytest
import torch
from support.problems import LARGER, MATRIX, OBLIQUE, affine_field, points_inside

from graphreg.core.grid import Grid
from graphreg.core.inversion import inconsistency_mm, inverse_consistent, invert, pull_back
from graphreg.core.records import DenseField

IDENTITY = torch.eye(3, dtype=torch.float64)
CENTRE_MM = OBLIQUE.corners_mm().mean(0)
SHIFT_MM = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
LINE = Grid((3, 3, 61), (1.0, 1.0, 1.0))


def about_centre(matrix, grid=LARGER):
    """x -> centre + matrix @ (x - centre) + shift, which leaves what is in OBLIQUE in LARGER."""
    return affine_field(grid, matrix, CENTRE_MM - matrix @ CENTRE_MM + SHIFT_MM)


def along_x(displacement):
    """A motion along x on LINE, of a function of x."""
    push = displacement(LINE.points_mm(SHIFT_MM)[..., 0])
    return DenseField(LINE, torch.stack([push, 0 * push, 0 * push]))


def shift(grid, vector_mm):
    return affine_field(grid, IDENTITY, vector_mm)


@pytest.mark.parametrize(("dtype", "within_mm"), [(torch.float64, 0.01), (torch.float32, 0.01)])
def test_the_inverse_of_an_affine_motion_is_that_of_its_matrix(dtype, within_mm, generator):
    # the search stops 0.005 mm from its goal, and no direction shrinks to less than 0.8
    motion = about_centre(MATRIX)
    field = DenseField(LARGER, motion.displacement_mm.to(dtype))
    found = invert(field, OBLIQUE)
    points_mm = points_inside(OBLIQUE, 200, generator)
    expected = CENTRE_MM + (points_mm - CENTRE_MM - SHIFT_MM) @ torch.linalg.inv(MATRIX).T
    assert LARGER.contains(expected).all() and (expected - points_mm).norm(dim=1).max() > 2
    assert found.field.grid == OBLIQUE and found.field.displacement_mm.dtype == dtype
    assert (found.field(points_mm) - expected).norm(dim=1).max() < within_mm
    assert found.error_mm.max() < 0.005 + 1e-4


def test_a_translation_is_undone_at_once():
    found = invert(shift(LARGER, SHIFT_MM), OBLIQUE)
    assert torch.allclose(found.field.displacement_mm, -SHIFT_MM[:, None, None, None].expand(3, *OBLIQUE.shape))
    assert found.error_mm.max() < 1e-9


def test_the_error_is_how_far_there_and_back_is_from_the_voxel(generator):
    # a motion of some millimetres that folds here and there
    rough = DenseField(LARGER, 2 * torch.randn(3, *LARGER.shape, generator=generator, dtype=torch.float64))
    found = invert(rough, OBLIQUE)
    points_mm = OBLIQUE.points_mm(MATRIX)
    apart = (rough(found.field(points_mm)) - points_mm).norm(dim=-1)
    assert found.error_mm.shape == OBLIQUE.shape
    assert torch.allclose(found.error_mm, apart, atol=1e-9)
    assert 0 < found.error_mm.min() < 0.005 < 0.1 < found.error_mm.max()


@pytest.mark.parametrize("stretch", [0.35, 3.0])
def test_tissue_may_shrink_to_a_third_and_grow_to_three_times_its_length(stretch):
    # about x = 30, found where it came from within the line: 10 mm at 3 times, hence 9 to 51
    found = invert(along_x(lambda x: (stretch - 1) * (x - 30)), LINE)
    x = LINE.points_mm(SHIFT_MM)[1, 1, :, 0]
    inside = (x - 30).abs() < 30 * min(stretch, 1) - 1
    expected = 30 + (x - 30) / stretch
    assert inside.sum() > 15
    assert ((x + found.field.displacement_mm[0, 1, 1]) - expected)[inside].abs().max() < 0.02
    assert found.error_mm[1, 1, inside].max() < 0.006


def steep_fold():
    """Three waves of 10 mm, 8 mm high, with slopes between -4 and 6, between x = 15 and 45."""
    return along_x(lambda x: torch.where((x - 30).abs() < 15, 8 * torch.sin(0.2 * torch.pi * x), 0.0))


def test_a_steep_fold_and_a_place_that_no_point_goes_to_have_an_error_and_what_lies_apart_has_none():
    found = invert(steep_fold(), LINE)
    assert found.error_mm[1, 1, 24:37].max() > 1
    assert found.error_mm[:, :, :6].max() < 0.006 and found.error_mm[:, :, 55:].max() < 0.006
    # a gap opens at x = 30: what lies left of it moves left by 6, what lies right of it moves right by 6, and no
    # place between 24 and 36 but the one voxel that is stretched is reached; stretched 13 times it is not found
    found = invert(along_x(lambda x: torch.where(x <= 30, -6.0, 6.0)), LINE)
    assert found.error_mm[1, 1, 27:35].min() > 0.5
    assert found.error_mm[1, 1, :20].max() < 0.006 and found.error_mm[1, 1, 40:].max() < 0.006


def test_slabs_do_not_change_the_inverse(monkeypatch):
    field = about_centre(MATRIX)
    whole = invert(field, OBLIQUE)
    monkeypatch.setattr(Grid, "slabs", lambda self, voxels=0: (slice(k, k + 1) for k in range(self.shape[0])))
    parts = invert(field, OBLIQUE)
    assert torch.allclose(whole.field.displacement_mm, parts.field.displacement_mm, atol=1e-12)
    assert torch.allclose(whole.error_mm, parts.error_mm, atol=1e-12)


def test_pulling_back_leaves_two_fifths_of_the_way_at_every_step_and_finds_what_inversion_finds(generator):
    goal_mm = points_inside(OBLIQUE, 20, generator).reshape(4, 5, 3)
    for steps, left in ((0, 1.0), (1, 0.4), (3, 0.064)):
        found = pull_back(lambda x: x + SHIFT_MM, goal_mm, goal_mm, steps)
        assert torch.allclose(found, goal_mm - (1 - left) * SHIFT_MM, atol=1e-9)
    field, goal_mm = about_centre(MATRIX), points_inside(OBLIQUE, 50, generator)
    found = pull_back(field, goal_mm, goal_mm, 40)
    assert torch.allclose(field(found), goal_mm, atol=1e-4)


def test_a_map_and_its_inverse_are_consistent_and_meet_in_the_map():
    mask = torch.ones(OBLIQUE.shape) > 0
    forward, backward = about_centre(MATRIX), invert(about_centre(MATRIX), OBLIQUE).field
    apart = inconsistency_mm(backward, forward, mask, OBLIQUE)
    assert apart.shape == (OBLIQUE.voxels,) and apart.max() < 0.006
    # the inverse over all of LARGER knows where the points of OBLIQUE went
    forward = about_centre(MATRIX, OBLIQUE)
    backward = invert(about_centre(MATRIX), LARGER).field
    assert torch.allclose(inverse_consistent(forward, backward).displacement_mm, forward.displacement_mm, atol=0.02)


def test_inconsistency_is_measured_at_the_fixed_voxels_of_the_mask_and_of_equal_translations_twice_their_length():
    mask = torch.zeros(OBLIQUE.shape) > 0
    mask[2, 3, 4:7] = True
    field = shift(LARGER, torch.tensor([2.0, -1.0, 2.0]).double())
    assert inconsistency_mm(field, field, mask, OBLIQUE).tolist() == pytest.approx([6.0] * 3, abs=1e-3)
    # forward by 3 where x is 5, by 1 elsewhere; backward by -1 everywhere: 2 mm apart there alone
    mask = torch.zeros(LINE.shape) > 0
    mask[1, 1, [4, 5, 6]] = True
    forward = along_x(lambda x: torch.where(x == 5, 3.0, 1.0))
    backward = along_x(lambda x: -torch.ones_like(x))
    assert inconsistency_mm(forward, backward, mask, LINE).tolist() == pytest.approx([0, 2, 0], abs=1e-5)


def test_two_translations_meet_half_way_where_the_second_leads_and_the_first_stands_alone_beyond():
    # 4 mm one way and 2 mm the other way: 3 mm. The second begins at x = 20, and x + 2 must lie on it or half a voxel
    # before it, at 19.5: the first alone has x = 17 and less, both have 18 and more.
    end = LINE.cropped((0, 0, 20), (3, 3, 41))
    forward = shift(LINE, torch.tensor([4.0, 0.0, 0.0]).double())
    met = inverse_consistent(forward, shift(end, torch.tensor([-2.0, 0.0, 0.0]).double()))
    assert met.grid == LINE
    expected = torch.where(torch.arange(61) < 18, 4.0, 3.0).double()
    expected[59:] = 4.0  # 59 + 2 lies beyond the end, at 60.5
    assert torch.allclose(met.displacement_mm[0], expected.expand(3, 3, 61), atol=1e-9)
    assert not met.displacement_mm[1:].any()


def test_the_first_stands_alone_where_the_second_has_no_inverse():
    forward = shift(LINE, torch.tensor([0.5, 0.0, 0.0]).double())
    lost = invert(steep_fold(), LINE).error_mm > 0.02
    met = inverse_consistent(forward, steep_fold()).displacement_mm
    assert lost.sum() > 50
    assert torch.equal(met[:, lost], forward.displacement_mm[:, lost])
    assert torch.allclose(met[0, :, :, :6], torch.tensor(0.25).double())
