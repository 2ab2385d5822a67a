"""The spline against scipy's, by hand at seven points, and where it must be exact."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from support.problems import LARGER, MATRIX, OBLIQUE, OFFSET_MM, displacements, points_inside, stored_otherwise

from graphreg.core.grid import Grid
from graphreg.core.records import Keypoints
from graphreg.interpolation.thin_plate import ThinPlate, _near
from graphreg.runtime import chunks

EXACT = ThinPlate(smoothness_mm=0.0, lattice_mm=0.0)


@pytest.fixture
def rough(knots_mm, generator):
    return displacements(knots_mm, 5 * torch.randn(60, 3, generator=generator, dtype=torch.float64))


def test_seven_points_worked_by_hand():
    # Six knots one mm from a seventh along the axes; only the seventh moves, by 1. By symmetry B = 0 and the six share
    # a weight w, the seventh having -6 w. The value a + 6 w - w (2 + 4 sqrt 2) = 0 at the six and a - 6 w = 1 at the
    # seventh give w = 1 / (4 sqrt 2 - 10); two mm away, distances 2, 1, 3 and four times sqrt 5, it is
    # a + 12 w - w (1 + 3 + 4 sqrt 5).
    eye = torch.eye(3, dtype=torch.float64)
    centre = torch.tensor([100.0, -50.0, 30.0], dtype=torch.float64)
    knots_mm = centre + torch.cat((eye, -eye, eye[:1] * 0))
    vectors_mm = torch.zeros(7, 3, dtype=torch.float64)
    vectors_mm[6, 1] = 1
    spline = EXACT.fit(displacements(knots_mm, vectors_mm))
    w = 1 / (4 * 2**0.5 - 10)
    expected = (1 + 6 * w) + 12 * w - w * (4 + 4 * 5**0.5)
    assert expected == pytest.approx(-0.164, abs=1e-3)
    found = spline(centre + 2 * torch.cat((eye, -eye)))
    assert torch.allclose(found, torch.tensor([0.0, expected, 0.0]).double().expand(6, 3), atol=1e-6)


@pytest.mark.parametrize(("smoothness", "sure"), [(0.0, True), (0.7, True), (20.0, True), (3.0, False)])
def test_spline_agrees_with_that_of_scipy_and_confidence_divides_the_smoothness(rough, smoothness, sure, generator):
    where, ones = points_inside(LARGER, 200, generator), torch.ones(60, dtype=torch.float64)
    confidence = ones if sure else 0.05 + 0.95 * torch.rand(60, generator=generator, dtype=torch.float64)
    knots_mm, smoothing = rough.keypoints.points_mm, (smoothness / confidence).numpy()
    scipy = RBFInterpolator(knots_mm, rough.vectors_mm, kernel="linear", degree=1, smoothing=smoothing)
    found = ThinPlate(smoothness_mm=smoothness).fit(replace(rough, confidence=confidence))(where)
    assert np.allclose(found.numpy(), scipy(where.numpy()), atol=1e-7)


def test_a_knot_of_low_confidence_pulls_less(knots_mm):
    vectors_mm = torch.zeros(60, 3, dtype=torch.float64)
    vectors_mm[5] = torch.tensor([0.0, 8.0, 0.0])
    pulls = []
    for sure in (1.0, 0.3, 0.01):
        confidence = torch.ones(60, dtype=torch.float64)
        confidence[5] = sure
        spline = ThinPlate(smoothness_mm=3.0).fit(displacements(knots_mm, vectors_mm, confidence))
        pulls.append(spline(knots_mm[5:6])[0, 1].item())
    assert 8 > pulls[0] > 1.5 * pulls[1] > 3 * pulls[2] > 0


def test_spline_without_smoothness_meets_every_knot_and_the_field_of_a_grid_is_the_spline_at_its_voxels(rough):
    spline, field = EXACT.fit(rough), EXACT(rough, OBLIQUE)
    assert torch.allclose(spline(rough.keypoints.points_mm), rough.vectors_mm, atol=1e-9)
    values = spline(OBLIQUE.points_mm(MATRIX).reshape(-1, 3))
    assert torch.allclose(field.displacement_mm.flatten(1).T, values, atol=1e-12)


@pytest.mark.parametrize("config", [EXACT, ThinPlate(smoothness_mm=30.0, lattice_mm=0.0), ThinPlate()])
def test_spline_reproduces_an_affine_motion_everywhere(knots_mm, config, generator):
    vectors_mm = knots_mm @ MATRIX.T + OFFSET_MM - knots_mm
    confidence = 0.05 + 0.95 * torch.rand(60, generator=generator, dtype=torch.float64)
    field = config(displacements(knots_mm, vectors_mm, confidence), OBLIQUE)
    points_mm = OBLIQUE.points_mm(MATRIX)
    assert field.grid == OBLIQUE
    assert torch.allclose(field(points_mm), points_mm @ MATRIX.T + OFFSET_MM, atol=1e-8)


@pytest.mark.parametrize("lattice_mm", [0.0, 4.0])
def test_a_grid_stored_otherwise_has_the_same_field(rough, lattice_mm):
    config = ThinPlate(smoothness_mm=1.0, lattice_mm=lattice_mm)
    here = config(rough, LARGER)
    for axes, flips in (((0, 1, 2), (0, 2)), ((2, 0, 1), (1,))):
        grid, stored = stored_otherwise(LARGER, here.displacement_mm[0], axes, flips)
        assert torch.allclose(config(rough, grid).displacement_mm[0], stored, atol=1e-8)


def test_what_is_worked_on_at_once_does_not_change_the_field(rough, monkeypatch):
    for lattice_mm in (0.0, 5.0):
        config, fields = ThinPlate(lattice_mm=lattice_mm), []
        for numbers in (1 << 20, 6000):  # of 60 knots
            monkeypatch.setattr(chunks, "CACHED", numbers)
            fields.append(config(rough, LARGER).displacement_mm)
        assert torch.allclose(fields[0], fields[1], atol=1e-10)


def test_away_from_the_knots_half_as_many_points_of_the_lattice_do(generator):
    # knots in the middle fifth of the grid; only what lies some 12 mm from any is read off the wider lattice
    grid = Grid((40, 42, 44), (3.0, 3.0, 3.0), (-60.0, 0.0, 0.0))
    knots_mm = torch.tensor([0.0, 60.0, 60.0]) + 12 * torch.randn(200, 3, generator=generator, dtype=torch.float64)
    moved = displacements(knots_mm, 5 * torch.sin(knots_mm / 15))
    exact, found = (ThinPlate(lattice_mm=lattice)(moved, grid).displacement_mm for lattice in (0.0, 4.0))
    far = (torch.cdist(grid.points_mm(knots_mm).reshape(-1, 3), knots_mm).amin(1) > 15).reshape(grid.shape)
    assert far.double().mean() > 0.5
    assert (exact - found).norm(dim=0)[far].max() < 0.02


def test_in_single_precision_the_spline_is_exact_to_micrometres_far_from_the_origin(rough, generator):
    far = torch.tensor([300.0, -1500.0, 2000.0], dtype=torch.float64)  # as scanners place their patients
    knots_mm = (rough.keypoints.points_mm + far).float()
    where = points_inside(LARGER, 500, generator) + far
    exact = ThinPlate().fit(displacements(knots_mm.double(), rough.vectors_mm))(where)
    single = ThinPlate().fit(displacements(knots_mm, rough.vectors_mm.float()))(where)
    assert (single - exact).norm(dim=1).max() < 1e-3


def test_a_lattice_changes_the_field_by_a_hundredth_of_a_millimetre_and_more_at_the_kinks_of_knots_only(generator):
    # knots some 8 mm apart as in a lung, displacements that change by half a millimetre from one to the next
    grid = Grid((30, 33, 36), (2.0, 2.0, 2.0), (-100.0, 50.0, 0.0))
    knots_mm = points_inside(grid, 500, generator)
    wave = torch.tensor([[0.03, 0.01, 0.05], [0.02, -0.06, 0.0], [0.05, 0.02, 0.02]], dtype=torch.float64)
    vectors_mm = 6 * torch.sin(knots_mm @ wave) + 0.3 * torch.randn(500, 3, generator=generator, dtype=torch.float64)
    moved = displacements(knots_mm, vectors_mm)
    exact, cubic = (
        ThinPlate(smoothness_mm=3.0, lattice_mm=lattice)(moved, grid).displacement_mm for lattice in (0.0, 4.0)
    )
    assert (exact - cubic).norm(dim=0).max() < 0.3
    assert (exact - cubic).norm(dim=0).mean() < 0.01


@pytest.mark.parametrize(
    ("index", "low", "high"),
    [
        ((4, 5, 6), (1, 2, 3), (7, 8, 9)),
        ((0, 0, 0), (0, 0, 0), (3, 3, 3)),
        ((-2, 5, 6), (0, 2, 3), (3, 8, 9)),  # seen as at the border
        ((4, 13, 6), (1, 8, 3), (7, 11, 9)),
        ((4, 11, 14), (1, 8, 9), (7, 11, 12)),
        *((beyond, (0, 0, 0), (-1, -1, -1)) for beyond in ((-3, 5, 6), (4, 14, 6), (4, 5, 15), (99, 5, 6))),  # none
    ],
)
def test_points_of_the_lattice_within_three_steps_of_a_knot_are_near_it_and_no_others(index, low, high):
    lattice = Grid((11, 12, 13), (4.0, 4.0, 4.0), (-20.0, 7.0, 30.0))
    near = _near(Keypoints(lattice.to_mm(torch.tensor([index]).double())), lattice)
    spans = [range(a, b + 1) for a, b in zip(low, high, strict=True)]
    assert near.tolist() == [list(place) for place in itertools.product(*spans)]


def test_a_wide_smoothness_leaves_the_affine_motion_that_fits_best(rough, generator):
    knots_mm, vectors_mm = rough.keypoints.points_mm, rough.vectors_mm
    design = torch.cat((knots_mm, torch.ones(60, 1, dtype=torch.float64)), 1)
    best = torch.linalg.lstsq(design, vectors_mm).solution
    unsure = replace(rough, confidence=torch.full_like(rough.confidence, 1e-5))  # widens it beyond what a setting may
    found = ThinPlate(smoothness_mm=1e3).fit(unsure)(knots_mm)
    assert torch.allclose(found, design @ best, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_too_few_keypoints_or_a_plane_of_any_direction_are_refused(count, dtype, generator):
    plane = torch.tensor([[40.0, 10.0, -20.0], [5.0, 30.0, 60.0]]).double()
    points_mm = torch.randn(count, 2, generator=generator).double() @ plane + 200
    flat = displacements(points_mm.to(dtype), torch.zeros(count, 3, dtype=dtype))
    with pytest.raises(ValueError, match=f"at least 4 keypoints that are not in one plane, got {count}"):
        ThinPlate().fit(flat)


def test_coinciding_knots_share_a_value_and_cannot_be_interpolated(knots_mm):
    twice = torch.cat((knots_mm, knots_mm[:1]))
    vectors_mm = torch.zeros(61, 3, dtype=torch.float64)
    vectors_mm[0, 2], vectors_mm[60, 2] = 3.0, 5.0
    assert 0 < ThinPlate(smoothness_mm=1.0).fit(displacements(twice, vectors_mm))(knots_mm[:1])[0, 2] < 4
    with pytest.raises(ValueError, match="coincide"):
        EXACT.fit(displacements(twice, vectors_mm))
