import pytest
import SimpleITK as sitk
import torch
from support.fields import read_field
from support.problems import LARGER, OBLIQUE, affine_field, noise
from support.program import names, refused

from graphreg.cli import main
from graphreg.io import read_points, write_keypoints, write_transform, write_volume

MATRIX = torch.tensor([[1.1, 0.0, -0.1], [0.0, 0.95, 0.0], [0.0, 0.1, 1.0]], dtype=torch.float64)
OFFSET_MM = torch.tensor([3.0, -7.0, 11.0], dtype=torch.float64)
FIELDS = {"itk": "field.mha", "ants": "warp.nii.gz", "slicer": "transform.nrrd", "learn2reg": "disp_0001_0001.nii.gz"}
IMAGES = ["--fixed", "fixed.nii.gz", "--moving", "moving.nii.gz"]


@pytest.fixture
def place(tmp_path, generator):
    """A folder with two images, a transform on the grid of neither, and keypoints."""
    write_volume(noise(OBLIQUE, generator), tmp_path / "fixed.nii.gz")
    write_volume(noise(LARGER, generator), tmp_path / "moving.nii.gz")
    write_transform(affine_field(LARGER, MATRIX, OFFSET_MM), tmp_path / "transform.h5")
    fixed_mm = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    write_keypoints(tmp_path / "keypoints.csv", fixed_mm, fixed_mm + 10, torch.ones(2))
    return tmp_path


@pytest.mark.parametrize(("layout", "name"), FIELDS.items())
def test_every_layout_holds_the_motion_on_the_grid_of_the_fixed_image(here, capfd, layout, name):
    assert main(["export", "transform.h5", "-o", f"new/{name}", "--as", layout, *IMAGES]) == 0
    assert capfd.readouterr() == (f"transform.h5 as {layout} has it: new/{name}\n", "")
    again = read_field(here / "new" / name, layout, OBLIQUE, LARGER)
    assert torch.allclose(
        again.displacement_mm.double(), affine_field(OBLIQUE, MATRIX, OFFSET_MM).displacement_mm, atol=1e-2
    )
    assert names(here / "new") == {name}


def test_without_an_image_the_field_keeps_its_own_grid_and_one_beyond_the_field_is_told(here, capfd):
    assert main(["export", "transform.h5", "-o", "field.nrrd", "--as", "itk"]) == 0
    assert sitk.ReadImage("field.nrrd").GetSize() == LARGER.shape[::-1]
    write_transform(affine_field(OBLIQUE, MATRIX, OFFSET_MM), here / "transform.h5")
    assert main(["export", "transform.h5", "-o", "field.nrrd", "--as", "slicer", "--fixed", "moving.nii.gz"]) == 0
    said = "warning: moving.nii.gz reaches beyond the field, whose border value goes on there\n"
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("name", ["points.csv", "points.fcsv", "points.mrk.json"])
@pytest.mark.parametrize(("side", "first"), [("fixed", [1.0, 2.0, 3.0]), ("moving", [11.0, 12.0, 13.0])])
def test_keypoints_go_to_one_list_per_image(here, capsys, name, side, first):
    assert main(["export", "keypoints.csv", "-o", name, "--as", "points", "--side", side]) == 0
    assert capsys.readouterr().out == f"2 points of the {side} image, LPS mm: {name}\n"
    assert read_points(here / name)[0].tolist() == first and len(read_points(here / name)) == 2


POINTS = ["keypoints.csv", "--as", "points", "-o", "p.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["transform.h5", "--as", "elastix", "-o", "f.mha"],
            "itk, ants, slicer, learn2reg, points needed, found 'elastix'",
        ),
        (["transform.h5", "--as", "slicer", "-o", "f.nii.gz"], "f.nii.gz: a name ending in .nrrd needed"),
        (
            ["transform.h5", "--as", "learn2reg", "-o", "d.nii.gz"],
            "--fixed and --moving needed for learn2reg, found neither",
        ),
        (["transform.h5", "--as", "learn2reg", "-o", "d.nii.gz", *IMAGES[:2]], "for learn2reg, found one of them"),
        (["transform.h5", "--as", "itk", "-o", "f.mha", "--fixed", "no.nii.gz"], "no.nii.gz: an image file or DICOM"),
        (
            ["transform.h5", "--as", "itk", "-o", "fixed.nii.gz", *IMAGES],
            "fixed.nii.gz: another file to write to needed",
        ),
        (["transform.h5", "--as", "itk", "-o", "f.mha", "--side", "fixed"], "--side: nothing needed for itk"),
        (["no.h5", "--as", "itk", "-o", "f.mha"], "no.h5: a displacement field transform"),
        (["keypoints.csv", "--as", "itk", "-o", "f.mha"], "keypoints.csv: a displacement field transform"),
        (["transform.h5", "--as", "points", "-o", "p.csv", "--side", "fixed"], "transform.h5: a text file needed"),
        (POINTS, "--side: fixed or moving needed for points, found nothing"),
        ([*POINTS, "--side", "left"], "--side: fixed or moving needed for points, found left"),
        ([*POINTS, "--side", "fixed", "-o", "p.vtk"], "p.vtk: a name ending in .csv, .fcsv, .mrk.json needed"),
        ([*POINTS, "--side", "fixed", "-o", "keypoints.csv"], "keypoints.csv: another file to write to needed"),
        ([*POINTS, "--side", "fixed", *IMAGES], "--fixed, --moving: no image needed for points"),
    ],
)
def test_wrong_input_is_one_line_with_exit_code_2_and_nothing_is_written(here, capfd, arguments, said):
    refused(here, ["export", *arguments], said, capfd)
