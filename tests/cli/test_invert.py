import pytest
import SimpleITK as sitk
import torch
from support.problems import noise
from support.program import refused

from graphreg.cli import main
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField, Volume
from graphreg.io import write_transform, write_volume

FIXED = Grid((22, 24, 26), (2.0, 2.0, 2.0), (-25.0, -20.0, 100.0))
MOVING = Grid((12, 11, 10), (2.0, 1.5, 2.5), (-8.0, -9.0, 107.0))
INVERT = ["invert", "transform.h5", "--reference", "moving.nii.gz"]


def write_waves(path, height_mm, length_mm, shift_mm=(2.0, -1.0, 3.0)):
    """x -> x + shift + waves along x, on FIXED."""
    points_mm = FIXED.points_mm(torch.zeros(0, dtype=torch.float64))
    waves = height_mm * torch.sin(2 * torch.pi * points_mm / length_mm)
    write_transform(DenseField(FIXED, (waves + torch.tensor(shift_mm)).movedim(-1, 0)), path)


@pytest.fixture
def place(tmp_path, generator):
    """A folder with a moving image and a transform that leads to all of it."""
    write_volume(noise(MOVING, generator), tmp_path / "moving.nii.gz")
    write_waves(tmp_path / "transform.h5", 1.0, 60.0)
    return tmp_path


@pytest.mark.parametrize("spacing", [[], ["--spacing-mm", "1"]])
def test_points_of_the_moving_image_go_back_to_where_they_came_from(here, capfd, spacing):
    assert main([*INVERT, "-o", "new/inverse.h5", *spacing]) == 0
    out, err = capfd.readouterr()
    assert err == "" and out.count("\n") == 1 and out.endswith("mm at most: new/inverse.h5\n")
    there, back = (sitk.ReadTransform(name) for name in ("transform.h5", "new/inverse.h5"))
    for fixed_mm in FIXED.cropped((5, 8, 9), (6, 5, 7)).points_mm(torch.zeros(0).double()).reshape(-1, 3).tolist():
        moving_mm = there.TransformPoint(fixed_mm)
        assert MOVING.contains(torch.tensor(moving_mm))
        assert moving_mm != pytest.approx(fixed_mm, abs=1.0)
        assert back.TransformPoint(moving_mm) == pytest.approx(fixed_mm, abs=0.02)


def test_a_shift_is_turned_round_and_said_to_be_exact(here, capfd):
    write_waves(here / "transform.h5", 0.0, 40.0)
    assert main([*INVERT, "-o", "inverse.h5"]) == 0
    assert capfd.readouterr().out == "there and back 0.0000 mm apart on average, 0.00 mm at most: inverse.h5\n"
    inverse = sitk.ReadTransform("inverse.h5")
    assert inverse.TransformPoint((0.0, 0.0, 118.0)) == pytest.approx((-2.0, 1.0, 115.0), abs=1e-4)


@pytest.mark.parametrize("height_mm", [3.0, 12.0])
def test_a_transform_that_folds_is_refused_and_nothing_is_written(here, capfd, height_mm):
    # slopes of 1 + 2 pi 3 / 12.5, between -0.5 and 2.5; and far steeper ones
    write_waves(here / "transform.h5", height_mm, 12.5)
    refused(here, [*INVERT, "-o", "inverse.h5"], "graphreg: transform.h5: a transform with an inverse needed", capfd)


def test_a_fold_outside_the_mask_does_not_matter(here, capfd):
    # left of x = 6 nothing moves, right of it everything folds
    points_mm = FIXED.points_mm(torch.zeros(0, dtype=torch.float64))
    x = points_mm[..., 0]
    push = torch.where(x > 6, 9 * torch.sin(x), 0.0)
    write_transform(DenseField(FIXED, torch.stack([push, 0 * x, 0 * x])), here / "transform.h5")
    mask = (MOVING.points_mm(x)[..., 0] < -4).float()
    write_volume(Volume(MOVING, mask), here / "mask.nii.gz")
    assert main([*INVERT, "-o", "inverse.h5"]) == 2
    assert main([*INVERT, "-o", "inverse.h5", "--mask", "mask.nii.gz"]) == 0
    assert capfd.readouterr().out.startswith("there and back 0.0000 mm apart on average, 0.00 mm at most")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "transform.h5"], "transform.h5: another file to write to needed"),
        (["-o", "./transform.h5"], "transform.h5: another file to write to needed"),
        (["-o", "inverse.nii.gz"], "inverse.nii.gz: a name ending in .h5, .hdf5 needed"),
        (["-o", "i.h5", "--mask", "no.nii.gz"], "no.nii.gz: an image file or DICOM"),
        (["-o", "i.h5", "--spacing-mm", "0"], "Invalid value for '--spacing-mm'"),
        (["-o", "i.h5", "--reference", "far.nii.gz"], "a transform that leads to far.nii.gz needed"),
    ],
)
def test_wrong_input_is_one_line_with_exit_code_2_and_nothing_is_written(here, capfd, generator, arguments, said):
    far = Grid((4, 5, 6), (2.0, 2.0, 2.0), (500.0, 0.0, 0.0))
    write_volume(noise(far, generator), here / "far.nii.gz")
    refused(here, [*INVERT, *arguments], said, capfd)
