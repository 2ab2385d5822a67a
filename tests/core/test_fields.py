import math

import pytest
import torch
from support.problems import LARGER, MATRIX, OBLIQUE, OFFSET_MM, affine_field, points_inside

from graphreg.core.fields import compose, folding_fraction, jacobian_determinant, log_jacobian_sd, on_grid
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField

IDENTITY = torch.eye(3, dtype=torch.float64)


def test_an_affine_motion_changes_volume_by_its_determinant_everywhere_on_an_oblique_grid():
    determinant = jacobian_determinant(affine_field(OBLIQUE, MATRIX, OFFSET_MM))
    assert torch.allclose(determinant, torch.linalg.det(MATRIX).expand(OBLIQUE.shape), atol=1e-10)


def test_central_differences_are_exact_for_a_quadratic_motion_and_a_single_slice_has_a_determinant_of_the_plane():
    grid = Grid((4, 4, 9), (2.0, 1.0, 0.5), (5.0, 6.0, 7.0))
    x = grid.points_mm(IDENTITY)[..., 0]
    field = DenseField(grid, torch.stack([0.1 * x**2, 0 * x, 0 * x]))
    assert torch.allclose(jacobian_determinant(field)[..., 1:-1], (1 + 0.2 * x)[..., 1:-1], atol=1e-12)
    grid = Grid((1, 4, 4), (1.0, 1.0, 1.0))
    field = DenseField(grid, (grid.points_mm(torch.zeros(1)) * 0.5).movedim(-1, 0))
    assert torch.allclose(jacobian_determinant(field), torch.full((1, 4, 4), 2.25))


def test_slabs_do_not_change_the_determinant_or_the_composition(generator, monkeypatch):
    field = DenseField(OBLIQUE, torch.randn(3, *OBLIQUE.shape, generator=generator, dtype=torch.float64))
    whole = jacobian_determinant(field), compose(field, field).displacement_mm
    monkeypatch.setattr(Grid, "slabs", lambda self, voxels=0: (slice(k, k + 1) for k in range(self.shape[0])))
    parts = jacobian_determinant(field), compose(field, field).displacement_mm
    for one, other in zip(whole, parts, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_the_determinant_is_that_of_the_matrix_of_all_derivatives(generator):
    field = DenseField(LARGER, torch.randn(3, *LARGER.shape, generator=generator, dtype=torch.float64))
    to_index = LARGER.to_index(IDENTITY) - LARGER.to_index(IDENTITY * 0)  # (3, 3): x, y, z mm; index axis
    steps = torch.stack(torch.gradient(field.displacement_mm, dim=(1, 2, 3)))  # (3, 3, D, H, W): index axis, component
    matrices = IDENTITY + torch.einsum("ia...,bi->...ab", steps, to_index)
    assert torch.allclose(jacobian_determinant(field), torch.linalg.det(matrices), atol=1e-12)


@pytest.mark.parametrize("turned", [False, True])
def test_a_field_on_another_grid_moves_its_voxels_as_before(turned, generator):
    field = DenseField(LARGER, torch.randn(3, *LARGER.shape, generator=generator, dtype=torch.float64))
    grid = OBLIQUE if turned else LARGER.with_spacing(1.7).cropped((-2, 3, 4), (9, 30, 5))  # beyond the field, too
    moved_mm = grid.points_mm(IDENTITY) + on_grid(field, grid).displacement_mm.movedim(0, -1)
    assert torch.allclose(moved_mm, field(grid.points_mm(IDENTITY)), atol=1e-9)


def test_composition_applies_the_inner_field_first(generator):
    inner = affine_field(OBLIQUE, IDENTITY, OFFSET_MM)
    outer = affine_field(LARGER, MATRIX, OFFSET_MM * 0)
    both = compose(outer, inner)
    points_mm = points_inside(OBLIQUE, 100, generator)
    assert LARGER.contains(OBLIQUE.corners_mm() + OFFSET_MM).all()
    expected = (points_mm + OFFSET_MM) @ MATRIX.T
    assert both.grid == OBLIQUE
    assert torch.allclose(both(points_mm), expected, atol=1e-9)
    swapped = points_mm @ MATRIX.T + OFFSET_MM
    assert (expected - swapped).norm(dim=1).min() > 1  # the order matters here


def test_folding_is_counted_where_the_determinant_is_not_positive_as_it_is_all_over_a_mirror():
    determinant = torch.tensor([-1.0, 0.0, 1.0, 2.0]).reshape(1, 2, 2)
    assert folding_fraction(determinant) == 0.5
    assert folding_fraction(determinant, determinant >= 0) == pytest.approx(1 / 3)
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    assert folding_fraction(jacobian_determinant(affine_field(OBLIQUE, mirror, OFFSET_MM))) == 1


def test_the_spread_of_the_logarithm_is_the_distance_from_its_mean():
    determinant = torch.tensor([1.0, math.e**2, 50.0]).reshape(1, 1, 3)  # logarithms 0 and 2 inside the mask
    assert log_jacobian_sd(determinant, determinant < 10) == pytest.approx(1, abs=1e-6)
    assert math.isfinite(log_jacobian_sd(-determinant))


def test_a_mask_of_another_shape_or_an_empty_one_is_refused():
    determinant = torch.ones(2, 2, 2)
    for mask in (torch.ones(1, 2, 2) > 0, torch.zeros(2, 2, 2) > 0):
        with pytest.raises(ValueError, match="mask must hold voxels"):
            folding_fraction(determinant, mask)
