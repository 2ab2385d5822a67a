import numpy as np
import pytest
import SimpleITK as sitk
import torch
from support.problems import grid_of

from graphreg.core.grid import Grid
from graphreg.core.records import Volume
from graphreg.io import InputError, write_comparison, write_overlay
from graphreg.io.pictures import shade

AIR, TISSUE = WINDOW = (-1000.0, 200.0)
# 60 mm from right to left, 40 mm from front to back, 80 mm from feet to head
STORED = {
    "as usual": Grid((21, 41, 61), (1.0, 1.0, 4.0)),
    "head first": Grid((21, 41, 61), (1.0, 1.0, 4.0), (60.0, 40.0, 80.0), ((-1.0, 0, 0), (0, -1.0, 0), (0, 0, -1.0))),
    "in sagittal slices": Grid(
        (31, 41, 41), (1.0, 2.0, 2.0), (0.0, 40.0, 0.0), ((0, 0, 1.0), (-1.0, 0, 0), (0, 1.0, 0))
    ),
}


def shaded(grid, low, high):
    """Tissue between two corners, air elsewhere."""
    points_mm = grid.points_mm(torch.zeros(1))
    inside = ((points_mm >= torch.tensor(low)) & (points_mm <= torch.tensor(high))).all(-1)
    return Volume(grid, torch.where(inside, TISSUE, AIR))


def pixels(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(int)


def planes(picture):
    """Axial, coronal and sagittal parts of a row, and pixels per mm."""
    per_mm = 420 / 80
    wide, deep = round(60 * per_mm) + 1, round(40 * per_mm) + 1
    return picture[:, :wide], picture[:, wide + 6 : 2 * wide + 6], picture[:, -deep:], per_mm


@pytest.mark.parametrize("grid", STORED.values(), ids=STORED.keys())
def test_head_and_front_are_up_and_the_right_of_the_patient_is_on_the_left(tmp_path, grid):
    # right (x < 30), front (y < 25), head (z > 30): it crosses the planes x = 15, y = 20, z = 40 mm
    volume = shaded(grid, [5.0, 5.0, 30.0], [25.0, 25.0, 75.0])
    write_overlay(tmp_path / "a.png", volume, volume, WINDOW)
    axial, coronal, sagittal, per_mm = planes(pixels(tmp_path / "a.png")[..., 0])
    for plane, x, y in ((axial, 15, 105 / per_mm + 15), (coronal, 15, 80 - 52), (sagittal, 15, 80 - 52)):
        rows, columns = np.nonzero(plane > 127)
        assert rows.mean() / per_mm == pytest.approx(y, abs=1.5)
        assert columns.mean() / per_mm == pytest.approx(x, abs=1.5)


def test_millimetres_are_as_long_across_as_down(tmp_path):
    volume = shaded(STORED["as usual"], [5.0, 10.0, 20.0], [35.0, 30.0, 60.0])
    write_overlay(tmp_path / "a.png", volume, volume, WINDOW)
    _, coronal, sagittal, per_mm = planes(pixels(tmp_path / "a.png")[..., 0])
    for plane, across, down in ((coronal, 30, 40), (sagittal, 20, 40)):
        rows, columns = np.nonzero(plane > 127)
        assert np.ptp(columns) / per_mm == pytest.approx(across, abs=1.5)
        assert np.ptp(rows) / per_mm == pytest.approx(down, abs=4.5)  # slices of 4 mm


def test_agreement_is_grey_the_fixed_image_alone_red_the_other_alone_cyan(tmp_path):
    grid = STORED["as usual"]
    one, other = shaded(grid, [0.0] * 3, [30.0, 40.0, 80.0]), shaded(grid, [20.0, 0.0, 0.0], [50.0, 40.0, 80.0])
    write_overlay(tmp_path / "a.png", one, other, WINDOW)
    axial, _, _, per_mm = planes(pixels(tmp_path / "a.png"))
    row = axial[len(axial) // 2]
    colours = [row[round(x * per_mm)].tolist() for x in (10, 25, 40, 55)]
    assert colours == [[255, 0, 0], [255, 255, 255], [0, 255, 255], [0, 0, 0]]


def test_planes_go_through_the_mask_and_its_surroundings_only(tmp_path):
    grid = Grid((50, 50, 50), (4.0, 4.0, 4.0))
    volume = shaded(grid, [100.0] * 3, [140.0] * 3)
    write_overlay(tmp_path / "a.png", volume, volume, WINDOW, volume.data > 0)
    picture = pixels(tmp_path / "a.png")
    assert picture.shape == (421, 3 * 421 + 12, 3)  # a cube of 40 mm and 15 mm around it
    assert (picture[..., 0] > 127).mean() == pytest.approx((44 / 70) ** 2, abs=0.01)  # grey half a voxel beyond


def test_an_oblique_image_is_shown_along_the_axes_of_the_patient(tmp_path):
    grid = grid_of((40, 40, 40), [2.0, 2.0, 2.0], [-30.0, -60.0, 10.0], [20.0, 10.0, 30.0], flip=True)
    centre = grid.corners_mm().mean(0)
    volume = shaded(grid, (centre - 14).tolist(), (centre + 14).tolist())
    write_overlay(tmp_path / "a.png", volume, volume, WINDOW, volume.data > 0)
    rows, columns = np.nonzero(pixels(tmp_path / "a.png")[:, :421, 0] > 127)
    filled = len(rows) / (np.ptp(rows) + 1) / (np.ptp(columns) + 1)
    assert filled > 0.9  # an upright square; a turned one fills much less of its bounding box


def test_before_stands_above_after_in_a_picture_that_is_a_png(tmp_path):
    grid = STORED["as usual"]
    fixed, apart = shaded(grid, [0.0] * 3, [40.0] * 3), shaded(grid, [20.0, 0.0, 0.0], [60.0, 40.0, 40.0])
    write_comparison(tmp_path / "both.png", fixed, apart, fixed, WINDOW)
    write_overlay(tmp_path / "before.png", fixed, apart, WINDOW)
    write_overlay(tmp_path / "after.png", fixed, fixed, WINDOW)
    both, before, after = (pixels(tmp_path / f"{name}.png") for name in ("both", "before", "after"))
    assert np.array_equal(both[: len(before)], before) and np.array_equal(both[-len(after) :], after)
    assert not np.array_equal(before, after)
    volume = shaded(STORED["as usual"], [0.0] * 3, [40.0] * 3)
    with pytest.raises(InputError, match="a name ending in .png"):
        write_overlay(tmp_path / "a.jpg", volume, volume, WINDOW)


def test_the_window_goes_from_black_to_white_and_beyond_the_image_is_its_low_end(tmp_path):
    grid = Grid((3, 3, 3), (10.0, 10.0, 10.0))
    levels = torch.tensor([0.0, 100.0, 300.0])  # along x; at points in mm the grey values are known
    volume = Volume(grid, levels.expand(3, 3, 3))
    points_mm = torch.tensor([[x, 10.0, 10.0] for x in (0, 10, 15, 20, 90)]).double()[None]
    assert shade(volume, points_mm, (0.0, 200.0)).tolist() == [[0.0, 0.5, 1.0, 1.0, 0.0]]
    assert shade(volume, points_mm, (-100.0, 300.0)).tolist() == [[0.25, 0.5, 0.75, 1.0, 0.0]]
