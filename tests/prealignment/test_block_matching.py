"""Known motions of images without order, blocks that lie, and the parts by hand."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from scipy.spatial.transform import Rotation
from support.problems import MATRIX, OFFSET_MM, bowl, grid_of

from graphreg.core.affine import Affine
from graphreg.core.cubes import label_grid
from graphreg.core.errors import InputError
from graphreg.core.filters import gaussian
from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, Keypoints, Subject, Volume
from graphreg.core.resampling import resample, resample_mask
from graphreg.features.intensities import Intensities
from graphreg.prealignment.block_matching import BlockMatching, best_shifts_mm, trimmed
from graphreg.sampling.lattice import Lattice

FIXED = Grid((44, 52, 60), (2.0, 2.5, 3.0), (-160.0, 30.0, 55.0))
MOVING = grid_of((80, 70, 85), [3.0, 2.4, 2.8], [-225.0, 5.0, -20.0], [8.0, -5.0, 12.0], flip=False)
CENTRE_MM = FIXED.corners_mm().mean(0)


@dataclass(frozen=True)
class Patches:
    """The plainest matcher: every patch of 3 x 3 x 3 samples at every displacement."""

    radius_mm: float = 24.0
    step_mm: float = 4.0
    liars: float = 0.0  # share of the blocks that point somewhere else

    def __call__(self, fixed, moving, keypoints, weights):
        labels = label_grid(self.radius_mm, self.step_mm)
        centres = fixed.grid.to_index(keypoints.points_mm).round().long()
        steps = round(self.step_mm / fixed.grid.spacing_mm[0])
        offsets = torch.cartesian_prod(*[torch.arange(-1, 2)] * 3) * steps
        reach = labels.shape[0] // 2
        shifts = torch.cartesian_prod(*[torch.arange(-reach, reach + 1)] * 3) * steps
        size = torch.tensor(fixed.grid.shape)
        costs = torch.zeros(len(centres), len(shifts), dtype=fixed.data.dtype)
        for offset in offsets:
            there = (centres[:, None] + shifts + offset).clamp_min(0).minimum(size - 1)
            here = (centres + offset).clamp_min(0).minimum(size - 1)
            costs += (fixed.data[0][tuple(here.T)][:, None] - moving.data[0][tuple(there.unbind(-1))]).square()
        lying = torch.rand(len(centres), generator=torch.Generator().manual_seed(5)) < self.liars
        costs[lying] = torch.rand(costs[lying].shape, generator=torch.Generator().manual_seed(6)).to(costs)
        return CostVolume(keypoints, labels, costs.reshape(-1, *labels.shape))


@pytest.fixture(scope="module")
def blobs():
    """A moving image of blobs of about 15 mm."""
    white = torch.randn(MOVING.shape, generator=torch.Generator().manual_seed(3))
    soft = gaussian(white, [6.0 / s for s in reversed(MOVING.spacing_mm)])
    return Volume(MOVING, 100 * soft / soft.std())


def pair_of(image, truth):
    """What the image looked like before a motion, in a ball, and the image."""
    mask = (FIXED.points_mm(CENTRE_MM) - CENTRE_MM).norm(dim=-1) < 55
    fixed = resample(image, FIXED, truth)
    return Subject(fixed, mask), Subject(image, resample_mask(mask, FIXED, MOVING, truth.inverse()))


def turned(degrees, scale, shift_mm):
    axis = torch.tensor([1.0, 2.0, -1.0]).double() / 6**0.5
    matrix = scale * torch.from_numpy(Rotation.from_rotvec((math.radians(degrees) * axis).numpy()).as_matrix())
    return Affine(matrix, CENTRE_MM + torch.tensor(shift_mm).double() - matrix @ CENTRE_MM)


def off_mm(found, truth, fixed):
    points_mm = fixed.image.grid.to_mm(fixed.mask.nonzero().double())
    return float((found(points_mm) - truth(points_mm)).norm(dim=1).mean())


def matching(**settings):
    whole = BlockMatching(sampler=Lattice(spacing_mm=12.0), features=Intensities(), matcher=Patches())
    return replace(whole, **settings)


@pytest.mark.parametrize(
    ("settings", "most_mm"),
    [({}, 0.3), ({"matcher": Patches(liars=0.33)}, 0.3), ({"motion": "similarity"}, 0.3), ({"spacing_mm": 2.0}, 0.3)],
)
def test_a_turn_of_15_degrees_a_scale_and_20_mm_are_found(blobs, settings, most_mm):
    truth = turned(15, 0.9, [12.0, -12.0, 10.6])
    fixed, moving = pair_of(blobs, truth)
    assert off_mm(Affine.identity(), truth, fixed) > 20
    assert off_mm(matching(**settings)(fixed, moving, Affine.identity()), truth, fixed) < most_mm


def test_a_motion_of_the_kind_is_added_to_the_start(blobs):
    # the start has the scale, a rigid motion the rest
    truth = turned(10, 0.8, [5.0, -5.0, 5.0])
    fixed, moving = pair_of(blobs, truth)
    start = turned(0, 0.8, [0.0, 0.0, 0.0])
    found = matching(motion="rigid")(fixed, moving, start)
    assert off_mm(found, truth, fixed) < 0.3
    assert float(torch.linalg.det(found.matrix)) == pytest.approx(0.8**3, rel=1e-9)


def test_least_costs_are_found_between_the_labels():
    # along x, y, z; a parabola is exact. One lies beyond the cube, and stays on its border.
    centres_mm = torch.tensor([[1.0, -2.5, 4.0], [0.0, 0.0, 0.0], [-13.0, 3.0, 0.3]]).double()
    costs = CostVolume(Keypoints(centres_mm), label_grid(12.0, 3.0), bowl(centres_mm))
    expected = torch.tensor([[1.0, -2.5, 4.0], [0.0, 0.0, 0.0], [-12.0, 3.0, 0.3]]).double()
    assert torch.allclose(best_shifts_mm(costs), expected, atol=1e-9)
    flat = CostVolume(Keypoints(centres_mm), costs.labels, torch.zeros_like(costs.costs))
    assert bool(torch.isfinite(best_shifts_mm(flat)).all())


def test_trimming_leaves_a_third_of_the_points_out_that_lie(generator):
    points_mm = 40 * torch.randn(300, 3, generator=generator).double()
    moved_mm = Affine(MATRIX, OFFSET_MM)(points_mm) + 0.1 * torch.randn(300, 3, generator=generator).double()
    moved_mm[::3] += 30 * torch.rand(100, 3, generator=generator).double()  # all of them to one side
    found = trimmed(points_mm, moved_mm, "affine", 0.5)
    assert torch.allclose(found.matrix, MATRIX, atol=2e-3)
    assert torch.allclose(found.offset_mm, OFFSET_MM, atol=0.1)
    assert not torch.allclose(trimmed(points_mm, moved_mm, "affine", 1.0).offset_mm, OFFSET_MM, atol=2.0)


def test_settings_out_of_range_are_refused():
    for wrong in ({"motion": "bent"}, {"spacing_mm": 0.0}, {"rounds": 0}, {"kept": 0.0}, {"kept": 1.1}):
        with pytest.raises(InputError, match=f"block_matching.{next(iter(wrong))} must"):
            matching(**wrong)


def test_a_region_that_is_not_seen_at_the_start_is_no_error(blobs):
    fixed, moving = pair_of(blobs, Affine.identity())
    mask = torch.zeros_like(moving.mask)
    mask[0, 0, 0] = True  # at a corner, some 150 mm away
    matching()(fixed, Subject(moving.image, mask), Affine.identity())


def test_too_few_blocks_are_named(blobs):
    fixed, moving = pair_of(blobs, Affine.identity())
    with pytest.raises(InputError, match="At least 50 keypoints"):
        matching(sampler=Lattice(spacing_mm=60.0))(fixed, moving, Affine.identity())
