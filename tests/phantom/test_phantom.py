"""The phantom keeps its promises: a plausible breath, an exact truth, and images that agree with it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.problems import present
from torch import Tensor

from graphreg.core.grid import Grid, mask_points_mm, sample
from graphreg.core.records import Volume
from graphreg.phantom import Phantom, PhantomConfig, make_phantom
from graphreg.phantom.breathing import Breathing, draw_breathing, inverse_breathing
from graphreg.phantom.rendering import tube_share
from graphreg.phantom.thorax import draw_thorax
from graphreg.phantom.vessels import Tubes, grow

SMALL = PhantomConfig(
    fixed_spacing_mm=(3.0, 4.0),
    moving_spacing_mm=(3.2, 3.5),
    vessel_spacing_mm=16.0,
    thinnest_vessel_mm=1.1,
    texture_mm=5.0,
    landmarks=80,
)
TINY = replace(SMALL, fixed_spacing_mm=(5.0, 6.0), moving_spacing_mm=(5.5, 5.0), texture_mm=10.0, landmarks=10)
SEEDS = range(6)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(1, SMALL)


@pytest.fixture(scope="module")
def lungs_mm(phantom: Phantom) -> Tensor:
    """The voxels of the fixed lungs."""
    return mask_points_mm(present(phantom.pair.fixed_mask), phantom.pair.fixed.grid)


def breath(seed: int) -> tuple[Breathing, Tensor]:
    """A motion of the default size and points (N, 3) in the lungs, 6 mm apart."""
    rng = np.random.default_rng(seed)
    breathing = draw_breathing(rng, draw_thorax(rng), PhantomConfig().lift_mm)
    points = torch.cartesian_prod(*[torch.arange(-153, 153, 6, dtype=torch.float64)] * 3)
    return breathing, points[breathing.thorax.lung(points) < 0]


def value(volume: Volume, points_mm: Tensor) -> Tensor:
    return sample(volume.data[None], volume.grid, points_mm.float())[0]


def inside(mask: Tensor, grid: Grid, points_mm: Tensor) -> Tensor:
    return sample(mask[None].float(), grid, points_mm.float(), outside=0.0, nearest=True)[0] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_lungs_neither_fold_nor_change_volume_much_and_move_8_to_25_mm_more_near_the_diaphragm(seed: int) -> None:
    breathing, points = breath(seed)
    jacobian = breathing.jacobian(points)
    assert jacobian.min() > 0.4 and jacobian.max() < 2.5
    breathing, points = breath(seed)
    length = (breathing(points) - points).norm(dim=1)
    low = points[:, 2] < points[:, 2].median()
    assert 8 < length.mean() < 25
    assert length[low].mean() > 1.5 * length[~low].mean()


def test_exhaling_lifts_the_lungs_and_the_inverse_returns_them_within_a_hundredth_of_a_millimetre() -> None:
    breathing, points = breath(0)
    assert (breathing(points) - points)[:, 2].min() > -1
    breathing, points = breath(4)
    grid = Grid.covering(points, 10.0, 20.0)
    assert (inverse_breathing(breathing, grid)(breathing(points).float()) - points).norm(dim=1).max() < 0.01


def test_jacobian_is_the_determinant_of_finite_differences() -> None:
    breathing, points = breath(2)
    points, step = points[::50], 1e-4
    shifts = step * torch.eye(3, dtype=torch.float64)
    columns = [(breathing(points + s) - breathing(points - s)) / (2 * step) for s in shifts]
    assert torch.allclose(breathing.jacobian(points), torch.linalg.det(torch.stack(columns, -1)), atol=1e-6)


def test_pleura_slides_along_the_chest_wall_and_the_wall_hardly_moves() -> None:
    breathing, points = breath(3)
    power = breathing.thorax.hull_power(points)[:, None]
    onto_hull = torch.cat((points[:, :2] / power ** (1 / 2.5), points[:, 2:]), 1)[power[:, 0] > 0.7]
    moved, wall = breathing(onto_hull), breathing.wall(onto_hull)
    assert breathing.thorax.hull(breathing.wall_inverse(moved)).abs().max() < 1e-3
    assert (wall - onto_hull).norm(dim=1).max() < 6
    assert (moved - wall).norm(dim=1).max() > 15


def test_landmarks_lie_in_both_lungs_and_move_exactly_by_the_motion(phantom: Phantom) -> None:
    pair, landmarks = phantom.pair, phantom.landmarks
    assert len(landmarks.fixed_mm) == SMALL.landmarks
    assert inside(present(pair.fixed_mask), pair.fixed.grid, landmarks.fixed_mm).all()
    assert inside(present(pair.moving_mask), pair.moving.grid, landmarks.moving_mm).all()
    assert torch.equal(landmarks.moving_mm, phantom.motion(landmarks.fixed_mm))


def test_moving_mask_is_the_fixed_mask_moved(phantom: Phantom, lungs_mm: Tensor) -> None:
    moving, mask = phantom.pair.moving, present(phantom.pair.moving_mask)
    assert inside(mask, moving.grid, phantom.motion(lungs_mm)).float().mean() > 0.95


def test_same_seed_gives_the_same_pair_and_another_seed_another() -> None:
    first, again, other = (make_phantom(seed, TINY) for seed in (5, 5, 6))
    for name in ("fixed", "moving"):
        assert torch.equal(getattr(first.pair, name).data, getattr(again.pair, name).data)
        assert getattr(first.pair, name).grid == getattr(again.pair, name).grid
    assert torch.equal(first.landmarks.fixed_mm, again.landmarks.fixed_mm)
    assert not torch.equal(first.landmarks.fixed_mm, other.landmarks.fixed_mm)
    assert first.pair.fixed.grid != other.pair.fixed.grid


def test_patient_and_truth_do_not_depend_on_the_scanner() -> None:
    coarse, noisy = make_phantom(7, TINY), make_phantom(7, replace(TINY, moving_spacing_mm=(7.0, 7.0), noise_hu=60.0))
    assert torch.equal(coarse.landmarks.fixed_mm, noisy.landmarks.fixed_mm)
    assert torch.equal(coarse.landmarks.moving_mm, noisy.landmarks.moving_mm)


def test_images_differ_in_grid_and_noise_and_lungs_have_their_density_more_at_exhale(phantom: Phantom) -> None:
    fixed, moving = phantom.pair.fixed.grid, phantom.pair.moving.grid
    assert fixed.spacing_mm == (3.0, 3.0, 4.0) and moving.spacing_mm == (3.2, 3.2, 3.5)
    assert fixed.origin_mm != moving.origin_mm and fixed.shape != moving.shape
    pair = phantom.pair
    inhale, exhale = pair.fixed.data[pair.fixed_mask].median(), pair.moving.data[pair.moving_mask].median()
    assert -910 < inhale < -800 and inhale + 15 < exhale < -650


def test_breathing_out_conserves_the_mass_of_the_lungs_which_shrink_by_the_mean_jacobian(
    phantom: Phantom, lungs_mm: Tensor
) -> None:
    pair = phantom.pair
    fixed, moving = (
        (volume.data[mask] + 1000).sum().item() * math.prod(volume.grid.spacing_mm)
        for volume, mask in ((pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask))
    )
    assert moving == pytest.approx(fixed, rel=0.06)
    pair = phantom.pair
    fixed, moving = (math.prod(volume.grid.spacing_mm) for volume in (pair.fixed, pair.moving))
    ratio = present(pair.moving_mask).sum().item() * moving / (present(pair.fixed_mask).sum().item() * fixed)
    assert phantom.jacobian(lungs_mm).mean().item() == pytest.approx(ratio, rel=0.01)


def test_image_content_moves_by_the_truth(phantom: Phantom, lungs_mm: Tensor) -> None:
    pair, points = phantom.pair, lungs_mm
    fixed = value(pair.fixed, points)

    def likeness(where: Tensor) -> float:
        return torch.corrcoef(torch.stack((fixed, value(pair.moving, where))))[0, 1].item()

    truth = likeness(phantom.motion(points))
    assert truth > 0.75 and truth > likeness(points) + 0.4
    for axis in range(3):
        for shift in (-1.5, 1.5):
            aside = torch.zeros(3, dtype=torch.float64)
            aside[axis] = shift
            assert likeness(phantom.motion(points) + aside) < truth


def test_vessels_of_the_fixed_image_are_bright_where_the_motion_takes_them(phantom: Phantom) -> None:
    pair, grid = phantom.pair, phantom.pair.fixed.grid
    points = mask_points_mm(present(pair.fixed_mask) & (pair.fixed.data > -200), grid)
    points = points[phantom.motion.thorax.lung(points) < -8]  # type: ignore[attr-defined]  # motion is typed by its use
    assert len(points) > 100
    assert value(pair.moving, phantom.motion(points)).median() > -350
    assert value(pair.moving, points).median() < -600


def test_ribs_stay_with_the_wall_and_do_not_follow_the_lung(phantom: Phantom) -> None:
    pair, breathing = phantom.pair, phantom.motion
    assert isinstance(breathing, Breathing)
    bone = mask_points_mm(pair.fixed.data > 300, pair.fixed.grid)
    side = bone[(bone[:, 0].abs() > 90) & (bone[:, 2].abs() < 30)]  # where the lung moves by about half a rib spacing
    assert (breathing.wall(side) - side).norm(dim=1).max() < 6
    staying, following = (value(pair.moving, motion(side)).mean() for motion in (breathing.wall, breathing))
    assert staying > 250 and staying > following + 100


def test_a_tube_along_x_fills_the_share_of_a_voxel_that_it_covers() -> None:
    # By hand: a disc of radius 3 mm covers 9 pi mm^2 of the y-z plane, whatever its place between the voxels.
    grid = Grid((15, 16, 20), (1.0, 1.0, 1.5), (-9.0, 2.0, -11.0))
    x = torch.arange(-20, 25, 0.5)
    tube = Tubes(torch.stack((x, x * 0 + 9.7, x * 0 - 0.4), -1), x * 0 + 3)
    share = tube_share(tube, grid)
    assert share[:, :, 10].sum().item() * 1.0 * 1.5 == pytest.approx(9 * np.pi, rel=0.06)
    assert share[7, 8, 10] > 0.95  # the voxel at y = 10, z = -0.5
    assert share[7, 14, 10] < 0.01 and share[12, 8, 10] < 0.01  # 6.3 mm and 7.4 mm off the axis


def test_a_vessel_tree_reaches_every_target_and_supplies_each_once() -> None:
    targets = np.random.default_rng(0).uniform(-40, 40, (200, 3))
    tree = grow(np.zeros(3), np.array([1.0, 0, 0]), targets, np.arange(200) % 3)
    ends = tree.end_mm[tree.supply == 1]
    order, reached = np.lexsort(targets.T), np.lexsort(ends.T)
    assert np.allclose(targets[order], ends[reached], atol=1e-9)
    assert tree.supply[(tree.start_mm == 0).all(1)].sum() == 200
