"""Motions through points: known ones come back, scipy and dense least squares agree, mirrors and lines are refused."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from support.problems import MATRIX, OFFSET_MM

from graphreg.core.affine import Affine
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import Subject, Volume
from graphreg.prealignment.landmarks import LandmarkAlignment
from graphreg.prealignment.least_squares import best

TURN = torch.from_numpy(Rotation.from_euler("xyz", [20.0, -35.0, 130.0], degrees=True).as_matrix())
TRUTH = {"translation": torch.eye(3).double(), "rigid": TURN, "similarity": 0.8 * TURN, "affine": MATRIX}
ANY = Subject(Volume(Grid((1, 1, 1), (1.0, 1.0, 1.0)), torch.zeros(1, 1, 1)), torch.ones(1, 1, 1) > 0)


@pytest.fixture
def points_mm(generator):
    spread_mm = torch.tensor([30.0, 50.0, 80.0]).double()
    return torch.randn(12, 3, generator=generator).double() * spread_mm + 200


@pytest.fixture
def noisy_mm(points_mm, generator):
    return points_mm @ (0.8 * TURN).T + OFFSET_MM + 5 * torch.randn(12, 3, generator=generator).double()


@pytest.mark.parametrize("kind", TRUTH)
def test_a_motion_of_the_kind_comes_back(kind, points_mm):
    moved_mm = points_mm @ TRUTH[kind].T + OFFSET_MM
    found = best(points_mm, moved_mm, kind)
    assert torch.allclose(found.matrix, TRUTH[kind], atol=1e-9)
    assert torch.allclose(found.offset_mm, OFFSET_MM, atol=1e-6)


def test_rigid_motions_are_those_of_scipy(points_mm, noisy_mm):
    found = best(points_mm, noisy_mm, "rigid")
    centres = [points_mm.mean(0), noisy_mm.mean(0)]
    p, q = (points - centre for points, centre in zip((points_mm, noisy_mm), centres, strict=True))
    expected = Rotation.align_vectors(q.numpy(), p.numpy())[0].as_matrix()
    assert np.allclose(found.matrix.numpy(), expected, atol=1e-6)
    assert torch.allclose(found(centres[0]), centres[1], atol=1e-9)


def test_affine_motions_are_those_of_dense_least_squares(points_mm, noisy_mm):
    rows = np.hstack((points_mm.numpy(), np.ones((12, 1))))
    expected = np.linalg.lstsq(rows, noisy_mm.numpy(), rcond=None)[0]
    found = best(points_mm, noisy_mm, "affine")
    assert np.allclose(found.matrix.numpy(), expected[:3].T, atol=1e-9)
    assert np.allclose(found.offset_mm.numpy(), expected[3], atol=1e-6)


def test_no_similarity_near_the_best_one_is_better(points_mm, noisy_mm, generator):
    def error(motion):
        return float((motion(points_mm) - noisy_mm).square().sum())

    found = best(points_mm, noisy_mm, "similarity")
    for _ in range(50):
        turn = Rotation.from_rotvec(0.01 * torch.randn(3, generator=generator).numpy()).as_matrix()
        scale = 1 + 0.01 * float(torch.randn((), generator=generator))
        other = scale * torch.from_numpy(turn) @ found.matrix
        centre, target = points_mm.mean(0), noisy_mm.mean(0)
        assert error(Affine(other, target - other @ centre)) > error(found)


def test_a_mirrored_patient_is_turned_as_far_as_it_goes_and_never_mirrored(points_mm):
    mirrored = points_mm * torch.tensor([-1.0, 1.0, 1.0])
    for kind in ("rigid", "similarity"):
        found = best(points_mm, mirrored, kind)
        assert float(torch.linalg.det(found.matrix)) > 0
        expected = Rotation.align_vectors(
            (mirrored - mirrored.mean(0)).numpy(), (points_mm - points_mm.mean(0)).numpy()
        )
        turn = found.matrix / torch.linalg.det(found.matrix) ** (1 / 3)
        assert np.allclose(turn.numpy(), expected[0].as_matrix(), atol=1e-6)
    with pytest.raises(InputError, match="best affine motion of the points mirrors"):
        best(points_mm, mirrored, "affine")


def test_three_points_worked_by_hand():
    # a quarter turn about z, twice the size, 10 mm along z
    fixed_mm = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    moving_mm = ((0.0, 0.0, 10.0), (0.0, 2.0, 10.0), (-2.0, 0.0, 10.0))
    align = LandmarkAlignment(fixed_mm=fixed_mm, moving_mm=moving_mm, motion="similarity")
    found = align(ANY, ANY, Affine(MATRIX, OFFSET_MM))
    expected = torch.tensor([[0.0, -2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 2.0]]).double()
    assert torch.allclose(found.matrix, expected, atol=1e-12)
    assert torch.allclose(found.offset_mm, torch.tensor([0.0, 0.0, 10.0]).double(), atol=1e-12)


def test_one_pair_of_points_is_a_translation():
    align = LandmarkAlignment(fixed_mm=((1.0, 2.0, 3.0),), moving_mm=((11.0, 0.0, 3.5),), motion="translation")
    assert align(ANY, ANY, Affine.identity()).offset_mm.tolist() == [10.0, -2.0, 0.5]


LINE = tuple((float(i), 2.0 * i, 5.0) for i in range(6))
PLANE = tuple((float(i), float(i * i), 5.0) for i in range(6))


@pytest.mark.parametrize(
    ("fixed_mm", "kind", "message"),
    [
        ((), "translation", "At least 1 pairs .* got 0"),
        (LINE[:2], "rigid", "At least 3 pairs .* not on one line, got 2"),
        (LINE, "similarity", "not on one line, got 6 fixed ones that are"),
        (PLANE[:3], "affine", "At least 4 pairs .* not in one plane, got 3"),
        (PLANE, "affine", "not in one plane, got 6 fixed ones that are"),
        (PLANE, "projective", "translation, rigid, similarity, affine, got projective"),
        (((math.nan, 0.0, 0.0), *PLANE), "rigid", "finite"),
        (((0.0, 0.0), *PLANE), "rigid", r"\(x, y, z\)"),
    ],
)
def test_points_that_tell_no_such_motion_are_refused_when_they_are_given(fixed_mm, kind, message):
    with pytest.raises(InputError, match=message):
        LandmarkAlignment(fixed_mm=fixed_mm, moving_mm=fixed_mm, motion=kind)


@pytest.mark.parametrize(
    ("moving_mm", "motion"),
    [(LINE, "rigid"), (LINE[:1] * 6, "similarity"), (LINE[:1] * 6, "affine"), (PLANE, "affine")],
)
def test_points_of_the_moving_image_must_tell_the_motion_too(moving_mm, motion):
    bent = tuple((x, y, x**3) for x, y, _ in PLANE)
    with pytest.raises(InputError, match="got 6 moving ones that are"):
        LandmarkAlignment(fixed_mm=bent, moving_mm=moving_mm, motion=motion)


def test_points_that_are_no_pairs_are_refused():
    with pytest.raises(InputError, match="in pairs, got 6 fixed and 5 moving"):
        LandmarkAlignment(fixed_mm=PLANE, moving_mm=PLANE[1:])
