"""The B-spline against scipy's basis and dense least squares, and where it must be exact."""

import numpy as np
import pytest
import torch
from scipy import interpolate
from support.problems import LARGER, MATRIX, OBLIQUE, OFFSET_MM, displacements, points_inside, stored_otherwise

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.interpolation import b_spline_fit
from graphreg.interpolation.b_spline import BSpline
from graphreg.interpolation.b_spline_fit import fit, gram


@pytest.fixture
def rough(knots_mm, generator):
    vectors_mm = 5 * torch.randn(60, 3, generator=generator, dtype=torch.float64)
    return displacements(knots_mm, vectors_mm, torch.rand(60, generator=generator).double() * 0.9 + 0.1)


def values_at(field, points_mm):
    return field(points_mm) - points_mm


def test_integrals_of_products_are_the_known_ones():
    # of one cubic B-spline with itself and with the next three: its own support of four steps lies inside ten
    known = ([151 / 315, 397 / 1680, 1 / 42, 1 / 5040], [2 / 3, -1 / 8, -1 / 5, -1 / 120], [8 / 3, -3 / 2, 0, 1 / 6])
    for order, (found, expected) in enumerate(zip(gram(10, 2.0), known, strict=True)):
        scale = 2.0 ** (1 - 2 * order)
        assert found[5, 5:9].tolist() == pytest.approx([e * scale for e in expected], abs=1e-12)
        assert found[5, 9:].tolist() == [0.0] * 4


def dense_answer(where, values, weights, shape, step_mm, smoothness):
    """Least squares with every basis function by scipy, one dense system."""
    rows, grams = [], []
    for axis, size in enumerate(shape):
        spline = interpolate.BSpline(np.arange(-2.0, size + 2), np.eye(size), 3)  # control point a sits at index a
        nodes, share = np.polynomial.legendre.leggauss(7)
        places = (np.arange(1, size - 2)[:, None] + (nodes + 1) / 2).ravel()
        share = np.tile(share / 2, size - 3)
        derived = [spline(places, nu=order) / step_mm**order for order in range(3)]
        grams.append([d.T @ (share[:, None] * d) * step_mm for d in derived])
        rows.append(spline(where[:, axis].numpy()))
    design = np.einsum("nk,nj,ni->nkji", *rows).reshape(len(where), -1)
    bend = sum(
        factor * np.kron(grams[0][z], np.kron(grams[1][y], grams[2][x]))
        for factor, z, y, x in (
            (1, 2, 0, 0),
            (1, 0, 2, 0),
            (1, 0, 0, 2),
            (2, 1, 1, 0),
            (2, 1, 0, 1),
            (2, 0, 1, 1),
        )
    )
    weights = (weights / weights.sum()).numpy()[:, None]
    volume = np.prod([(size - 3) * step_mm for size in shape])
    system = design.T @ (weights * design) + smoothness / volume * bend
    return np.linalg.solve(system, design.T @ (weights * values.numpy())).T.reshape(-1, *shape)


@pytest.mark.parametrize("lowest", [1000, 30, 1])
def test_control_points_are_those_of_dense_least_squares(lowest, generator, monkeypatch):
    monkeypatch.setattr(b_spline_fit, "LOWEST", lowest)  # all modes are solved at once, or some, or by steps alone
    monkeypatch.setattr(b_spline_fit, "TOLERANCE", 1e-10)
    shape, count = (6, 8, 7), 40
    where = 1 + torch.rand(count, 3, generator=generator).double() * (torch.tensor(shape) - 3)
    values = torch.randn(count, 2, generator=generator).double()
    weights = torch.rand(count, generator=generator).double() + 0.1
    found = fit(where, values, weights, shape, 2.5, 3.0)
    assert np.allclose(found.numpy(), dense_answer(where, values, weights, shape, 2.5, 3.0), atol=1e-6)


def test_steps_to_the_tolerance_are_as_good_as_the_exact_answer(generator, monkeypatch):
    grid = Grid((30, 30, 30), (4.0, 4.0, 4.0))
    points_mm = points_inside(grid, 500, generator)
    motion = displacements(points_mm, 10 * torch.sin(points_mm.roll(1, 1) / 30) + 30)
    found = BSpline()(motion, grid).displacement_mm
    monkeypatch.setattr(b_spline_fit, "TOLERANCE", 1e-9)
    exact = BSpline()(motion, grid).displacement_mm
    assert (found - exact).abs().max() < 0.02
    assert (found - exact).abs().mean() < 0.002


def test_the_answer_is_as_exact_for_little_smoothness_as_for_much(generator, monkeypatch):
    grid = Grid((30, 30, 30), (2.0, 2.0, 2.0))
    points_mm = points_inside(grid, 60, generator)
    motion = displacements(points_mm, 8 * torch.sin(points_mm.roll(1, 1) / 20))
    found = BSpline(smoothness=5.0)(motion, grid).displacement_mm
    monkeypatch.setattr(b_spline_fit, "TOLERANCE", 1e-8)
    exact = BSpline(smoothness=5.0)(motion, grid).displacement_mm
    assert (found - exact).abs().max() < 0.01


@pytest.mark.parametrize(("smoothness", "iterations"), [(1e-12, 3000), (1e-2, 100)])
def test_a_smoothness_that_leaves_control_points_open_is_refused(rough, smoothness, iterations, monkeypatch):
    monkeypatch.setattr(b_spline_fit, "ITERATIONS", iterations)  # equations that are singular, or not solved in time
    with pytest.raises(InputError, match=f"smoothness must be so large .* got {smoothness:g}"):
        BSpline(smoothness=smoothness)(rough, LARGER)


@pytest.mark.parametrize("smoothness", [1.0, 1e3, 1e6])
def test_an_affine_motion_is_reproduced_whatever_the_smoothness(knots_mm, smoothness):
    vectors_mm = knots_mm @ MATRIX.T + OFFSET_MM - knots_mm
    field = BSpline(control_mm=9.0, smoothness=smoothness)(displacements(knots_mm, vectors_mm), OBLIQUE)
    points_mm = OBLIQUE.points_mm(vectors_mm)
    expected = points_mm @ MATRIX.T + OFFSET_MM - points_mm
    assert torch.allclose(field.displacement_mm.movedim(0, -1), expected, atol=1e-8)


def test_a_constant_motion_goes_on_beyond_the_keypoints(generator):
    points_mm = points_inside(OBLIQUE, 20, generator)
    vectors_mm = OFFSET_MM.expand(20, 3)
    field = BSpline()(displacements(points_mm, vectors_mm), LARGER)  # up to 60 mm from the keypoints
    assert torch.allclose(field.displacement_mm.movedim(0, -1), OFFSET_MM.expand(*LARGER.shape, 3), atol=1e-8)


def test_beyond_two_steps_around_the_keypoints_the_border_value_goes_on():
    # keypoints from 0 to 12 mm along each axis stretch twofold; the lattice of 6 mm ends at -12 and 24 mm
    points_mm = torch.cartesian_prod(*[torch.tensor([0.0, 12.0])] * 3).double()
    line = Grid((1, 1, 61), (1.0, 1.0, 1.0), (-24.0, 6.0, 6.0))
    field = BSpline()(displacements(points_mm, points_mm.clone()), line)
    expected = torch.arange(-24.0, 37.0).double().clamp(-12, 24)
    assert torch.allclose(field.displacement_mm[0, 0, 0], expected, atol=1e-8)


def test_keypoints_are_followed_the_closer_the_smaller_the_smoothness(rough):
    left = []
    for smoothness in (1e6, 1e4, 1e2, 1.0):
        field = BSpline(control_mm=9.0, smoothness=smoothness)(rough, LARGER.with_spacing(1.0))
        off = (values_at(field, rough.keypoints.points_mm) - rough.vectors_mm).square().sum(1)
        left.append(float((off * rough.confidence).sum() / rough.confidence.sum()))
    assert all(closer < looser for looser, closer in zip(left, left[1:], strict=False))
    assert left[-1] < 0.1 < 40 < left[0]  # mm^2; a variance of 75 in all


def test_an_unsure_keypoint_hardly_counts(knots_mm):
    vectors_mm = torch.zeros_like(knots_mm)
    vectors_mm[7, 2] = 20
    sure = torch.ones(60).double()
    trusted = BSpline(smoothness=1.0)(displacements(knots_mm, vectors_mm, sure), LARGER)
    sure[7] = 1e-7
    doubted = BSpline(smoothness=1.0)(displacements(knots_mm, vectors_mm, sure), LARGER)
    here = knots_mm[7:8]
    assert values_at(trusted, here)[0, 2] > 5 > 0.1 > values_at(doubted, here)[0, 2]


def test_the_motion_does_not_depend_on_the_order_of_storage(rough):
    data = torch.zeros(LARGER.shape)
    grid, _ = stored_otherwise(LARGER, data, (2, 0, 1), (0, 2))
    there = BSpline(control_mm=9.0)(rough, grid).displacement_mm
    _, expected = stored_otherwise(LARGER, BSpline(control_mm=9.0)(rough, LARGER).displacement_mm[0], (2, 0, 1), (0, 2))
    assert torch.allclose(there[0], expected, atol=1e-3)


def test_the_motion_is_the_same_to_the_bit_for_any_number_of_threads(rough):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(BSpline(control_mm=5.0)(rough, LARGER).displacement_mm)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_what_cannot_be_fitted_is_named(knots_mm):
    flat = knots_mm.clone()
    flat[:, 1] = 3.0
    for points_mm in (flat, knots_mm[:3]):
        with pytest.raises(InputError, match="at least 4 keypoints that are not in one plane"):
            BSpline()(displacements(points_mm, points_mm), LARGER)
    with pytest.raises(InputError, match="control points do, got 0.2 mm"):
        BSpline(control_mm=0.2)(displacements(knots_mm, knots_mm), LARGER)
    for wrong in ({"control_mm": 0.0}, {"smoothness": 0.0}):
        with pytest.raises(InputError, match="above 0"):
            BSpline(**wrong)
