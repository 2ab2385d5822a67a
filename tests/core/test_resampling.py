"""Images seen through motions: which way they go, against scipy, between grids of any direction."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import ndimage
from support.problems import LARGER, MATRIX, OBLIQUE, OFFSET_MM, affine_field, noise, smooth_noise, stored_otherwise

from graphreg.core.grid import Grid
from graphreg.core.intensities import IntensityWindow
from graphreg.core.records import DenseField, Volume
from graphreg.core.resampling import crop, identity, prepare, resample, resample_mask


def pushed(points_mm):
    return points_mm + points_mm.new_tensor([3.0, -4.0, 5.0])


def test_an_image_is_seen_where_it_is_through_a_field_on_any_device(device, generator):
    volume, field = noise(LARGER, generator), affine_field(OBLIQUE, MATRIX, OFFSET_MM)
    seen = resample(volume, OBLIQUE, DenseField(OBLIQUE, field.displacement_mm.to(device))).data
    assert torch.equal(seen, resample(volume, OBLIQUE, field).data)


def test_the_value_at_the_moved_point_is_taken():
    # Fixed point p sees the moving image at p + (3, -4, 5) mm, which is bright at voxel (z, y, x) = (2, 1, 3): by hand
    # at (10 + 3 * 1, 20 + 1 * 2, 30 + 2 * 2.5) = (13, 22, 35) mm. Hence the fixed point is (10, 26, 30) mm, voxel
    # (1, 2, 4) of a grid with 2 mm voxels that starts at (2, 22, 28).
    moving = Volume(Grid((5, 6, 7), (1.0, 2.0, 2.5), (10.0, 20.0, 30.0)), torch.zeros(5, 6, 7))
    moving.data[2, 1, 3] = 100
    seen = resample(moving, Grid((4, 5, 6), (2.0, 2.0, 2.0), (2.0, 22.0, 28.0)), pushed)
    assert seen.data[1, 2, 4].item() == pytest.approx(100, abs=1e-3)
    assert (seen.data > 50).nonzero().tolist() == [[1, 2, 4]]


@pytest.mark.parametrize(("outside", "order"), [(None, 1), (-1024.0, 1), (None, 0)])
def test_resampling_agrees_with_scipy_on_oblique_grids(generator, outside, order):
    moving = Volume(LARGER, noise(LARGER, generator).data.double())

    def motion(points_mm):
        return (points_mm - OBLIQUE.corners_mm().mean(0)) @ MATRIX.T + OBLIQUE.corners_mm().mean(0) + OFFSET_MM

    found = resample(moving, OBLIQUE, motion, outside, nearest=order == 0).data
    index = LARGER.to_index(motion(OBLIQUE.points_mm(MATRIX))).movedim(-1, 0).numpy()
    expected = ndimage.map_coordinates(moving.data.numpy(), index, order=order, mode="nearest")
    if outside is not None:
        size = np.array(LARGER.shape)[:, None, None, None]
        expected = np.where(((index >= -0.5) & (index <= size - 0.5)).all(0), expected, outside)
    assert np.allclose(found.numpy(), expected, atol=1e-7)


def test_without_motion_an_image_stays_itself_and_beyond_its_border_that_goes_on_or_a_value_is_given(generator):
    volume = noise(OBLIQUE, generator)
    # single precision at 300 mm leaves 1e-4 of a voxel, hence of steps of up to 2500 HU
    assert torch.allclose(resample(volume, OBLIQUE, identity).data, volume.data, atol=0.5)
    assert torch.equal(resample(volume, OBLIQUE, identity, nearest=True).data, volume.data)
    volume = noise(OBLIQUE, generator)

    def far(points_mm):
        return points_mm + 1000

    assert resample(volume, OBLIQUE, far, outside=-1024.0).data.unique().tolist() == [-1024.0]
    assert set(resample(volume, OBLIQUE, far).data.unique().tolist()) <= set(volume.data.unique().tolist())


def test_an_image_stored_otherwise_looks_the_same(generator):
    volume = smooth_noise(LARGER, generator)
    here = resample(volume, OBLIQUE, pushed).data
    for axes, flips in (((0, 1, 2), (0, 2)), ((2, 0, 1), ()), ((1, 2, 0), (1,))):
        stored = Volume(*stored_otherwise(LARGER, volume.data, axes, flips))
        assert stored.grid != LARGER
        assert torch.allclose(resample(stored, OBLIQUE, pushed).data, here, atol=1e-6)


def test_nearest_keeps_labels(generator):
    labels = Volume(LARGER, torch.randint(0, 4, LARGER.shape, generator=generator).float() * 7)
    assert set(resample(labels, OBLIQUE, pushed, outside=0.0, nearest=True).data.unique().tolist()) == {0, 7, 14, 21}


def test_a_mask_moves_with_its_image_ends_at_the_border_and_halfway_between_its_last_voxel_and_the_next():
    # by hand: the moving mask holds x = 10, 11 and 12 mm, hence the fixed one x = 7, 8 and 9 mm
    grid = Grid((3, 3, 8), (1.0, 1.0, 1.0), (10.0, 0.0, 0.0))
    mask = torch.zeros(3, 3, 8, dtype=torch.bool)
    mask[:, :, :3] = True
    moved = resample_mask(mask, grid, Grid((3, 3, 8), (1.0, 1.0, 1.0), (5.0, 4.0, -5.0)), pushed)
    assert moved.dtype == torch.bool
    assert moved.any(0).any(0).tolist() == [False, False, True, True, True, False, False, False]
    assert moved.all(0).all(0).tolist() == moved.any(0).any(0).tolist()
    grid = Grid((2, 2, 8), (2.0, 2.0, 2.0))
    mask = torch.zeros(2, 2, 8, dtype=torch.bool)
    mask[:, :, :3] = True  # up to x = 4 mm; the next voxel is at 6 mm
    seen = resample_mask(mask, grid, Grid((2, 2, 29), (0.5, 2.0, 2.0), (0.25, 0.0, 0.0)), identity)
    assert seen[0, 0].tolist() == [0.25 + 0.5 * k < 5 for k in range(29)]


def test_slabs_do_not_change_the_image(generator, monkeypatch):
    volume = noise(LARGER, generator)
    whole = resample(volume, OBLIQUE, pushed).data
    monkeypatch.setattr(Grid, "slabs", lambda self, voxels=0: (slice(k, k + 1) for k in range(self.shape[0])))
    assert torch.equal(resample(volume, OBLIQUE, pushed).data, whole)


def test_preparing_leaves_an_image_coarser_than_the_grid_but_for_the_window(generator):
    volume = noise(OBLIQUE, generator)  # 0.7 x 1.3 x 2.5 mm
    prepared = prepare(volume, 0.7, IntensityWindow(-1000.0, 200.0))
    assert prepared.grid == OBLIQUE
    assert torch.equal(prepared.data, volume.data.clamp(-1000, 200))


def test_preparing_smooths_each_axis_by_what_a_coarser_grid_cannot_hold(generator):
    volume = smooth_noise(Grid((12, 13, 14), (0.5, 1.5, 3.0)), generator, 0.6)
    # by hand: 0.42 sqrt(2.5^2 - 0.5^2) mm = 0.42 * 2.449 / 0.5 = 2.058 voxels along x, 0.42 * 2 / 1.5 = 0.56 along y,
    # and none along z, whose voxels are larger than 2.5 mm
    expected = ndimage.gaussian_filter(volume.data.numpy(), (0, 0.56, 2.0576), mode="nearest", radius=(0, 2, 7))
    assert np.allclose(prepare(volume, 2.5, IntensityWindow(-5000.0, 5000.0)).data.numpy(), expected, atol=0.01)


def test_a_pattern_finer_than_the_grid_leaves_no_other_pattern():
    fine = Grid((40, 40, 40), (1.0, 1.0, 1.0))
    stripes = Volume(fine, 100 * (-1.0) ** torch.arange(40).expand(40, 40, 40))
    coarse = Grid((8, 8, 8), (4.0, 4.0, 4.0), (4.0, 4.0, 4.0))
    assert resample(stripes, coarse, identity).data.abs().min() > 99  # every fourth voxel is the same
    assert resample(prepare(stripes, 4.0, IntensityWindow(-1000.0, 1000.0)), coarse, identity).data.abs().max() < 1


@pytest.mark.parametrize("outside", [None, -1024.0])
@pytest.mark.parametrize("volume_grid", [LARGER, OBLIQUE])
def test_where_the_axes_are_the_same_the_short_way_agrees_with_the_long_one(volume_grid, outside, generator):
    grid = volume_grid.with_spacing(1.7)  # the same axes, and beyond the border on every side
    grid = grid.cropped((-4, 1, -2), (grid.shape[0] + 6, grid.shape[1], grid.shape[2] + 3))
    volume = Volume(volume_grid, noise(volume_grid, generator).data.double())
    field = DenseField(volume_grid, 3 * torch.randn(3, *volume_grid.shape, generator=generator, dtype=torch.float64))
    for motion in (identity, field):
        found = resample(volume, grid, motion, outside).data
        expected = resample(volume, grid, partial(motion), outside).data  # which hides what it is
        assert torch.allclose(found, expected, atol=1e-7)


def test_the_type_in_the_file_is_handed_on_but_not_by_what_is_smoothed(generator):
    volume = Volume(LARGER, noise(LARGER, generator).data, "uint16")
    parts = (slice(2, 9), slice(3, 9), slice(1, 8))
    assert crop(volume, parts).stored == resample(volume, OBLIQUE, pushed).stored == "uint16"
    assert resample(volume, LARGER.with_spacing(3.0), identity, outside=0.0).stored == "uint16"
    assert prepare(volume, 4.0, IntensityWindow(-1000.0, 200.0)).stored is None
