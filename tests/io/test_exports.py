import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from support.fields import read_field
from support.problems import LARGER, MATRIX, OBLIQUE, OFFSET_MM, affine_field, grid_of, grids, points_inside

from graphreg.core.grid import Grid
from graphreg.core.records import DenseField, Volume
from graphreg.core.resampling import resample
from graphreg.io import InputError, write_transform
from graphreg.io.exports import LAYOUTS, write_field

TURNED = ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
FIXED = Grid((3, 4, 5), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0), TURNED)
MOVING = Grid((6, 5, 4), (2.0, 4.0, 0.5), (10.0, 20.0, 30.0))
SLANTED = Grid((3, 4, 5), (5.0, 10.0, 2.0), (-7.0, 8.0, 9.0), ((0.6, -0.8, 0.0), (0.8, 0.6, 0.0), (0.0, 0.0, 1.0)))
VECTORS = {"itk": ("nii.gz", "nii", "mha", "nrrd"), "ants": ("nii.gz",), "slicer": ("nrrd",)}
FILES = [(layout, suffix) for layout, suffixes in VECTORS.items() for suffix in suffixes]


def constant(grid, *vector_mm):
    return DenseField(grid, torch.tensor(vector_mm).reshape(3, 1, 1, 1).expand(3, *grid.shape))


def header(path):
    return gzip.decompress(path.read_bytes())[:352]


def voxels_of(path):
    """The array [X, Y, Z, 3] of a NIfTI file as its own axes have it, x fastest."""
    raw = gzip.decompress(path.read_bytes())
    size = struct.unpack_from("<8h", raw, 40)
    return np.frombuffer(raw, "<f4", offset=352).reshape(size[1 : size[0] + 1], order="F")


def smooth(grid, generator):
    """A motion that is not linear, of some mm."""
    wave = torch.sin(grid.points_mm(torch.zeros(1).double()) / 9 + torch.rand(3, generator=generator))
    return DenseField(grid, 4 * wave.movedim(-1, 0).float())


def test_one_voxel_along_x_of_a_slanted_grid_is_one_in_the_file_of_learn2reg(tmp_path):
    # the index axis x points to (0.6, 0.8, 0), its step is 5 mm
    write_field(constant(SLANTED, 3.0, 4.0, 0.0), tmp_path / "disp_0001_0001.nii.gz", "learn2reg", SLANTED, SLANTED)
    assert voxels_of(tmp_path / "disp_0001_0001.nii.gz") == pytest.approx(
        np.broadcast_to([1.0, 0.0, 0.0], (5, 4, 3, 3)), abs=1e-5
    )


def test_learn2reg_counts_each_point_on_the_grid_of_its_own_image(tmp_path):
    # fixed voxel (x, y, z) = (1, 1, 1) lies at (10 + 3, 20 - 1, 30 + 2), goes to (14, 21, 35), which is moving voxel
    # (4 / 2, 1 / 4, 5 / 0.5) = (2, 0.25, 10)
    write_field(constant(FIXED, 1.0, 2.0, 3.0), tmp_path / "disp_0001_0002.nii.gz", "learn2reg", FIXED, MOVING)
    assert voxels_of(tmp_path / "disp_0001_0002.nii.gz")[1, 1, 1] == pytest.approx([1.0, -0.75, 9.0], abs=1e-5)


def written(field, path, layout):
    """The transform of ITK that a file holds."""
    if layout == "h5":
        write_transform(field, path)
        return sitk.ReadTransform(str(path))
    write_field(field, path, layout)
    return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))


@pytest.mark.parametrize(("layout", "suffix"), [*FILES, ("h5", "h5")])
def test_itk_moves_a_point_by_the_components_x_y_z_whatever_the_direction(tmp_path, layout, suffix):
    path = tmp_path / f"field.{suffix}"
    transform = written(constant(FIXED, 1.0, 2.0, 3.0), path, layout)
    assert transform.TransformPoint((13.0, 19.0, 32.0)) == pytest.approx((14.0, 21.0, 35.0))


def test_a_warp_of_ants_is_a_vector_nifti_of_five_axes_in_lps(tmp_path):
    write_field(constant(FIXED, 1.0, 2.0, 3.0), tmp_path / "warp.nii.gz", "ants")
    head = header(tmp_path / "warp.nii.gz")
    assert struct.unpack_from("<6h", head, 40) == (5, 5, 4, 3, 1, 3)
    assert struct.unpack_from("<h", head, 68) == (1007,)
    assert struct.unpack_from("<h", head, 70) == (16,)  # float32
    assert voxels_of(tmp_path / "warp.nii.gz")[1, 1, 1, 0].tolist() == [1, 2, 3]  # not turned to RAS


def test_a_field_of_learn2reg_is_a_plain_nifti_of_four_axes_with_the_identity_as_affine(tmp_path):
    write_field(constant(OBLIQUE, 1.0, 2.0, 3.0), tmp_path / "disp.nii.gz", "learn2reg", FIXED, MOVING)
    head = header(tmp_path / "disp.nii.gz")
    assert struct.unpack_from("<5h", head, 40) == (4, 5, 4, 3, 3)
    assert struct.unpack_from("<h", head, 68) == (0,)
    assert struct.unpack_from("<h", head, 70) == (16,)
    assert struct.unpack_from("<4f", head, 80) == (1, 1, 1, 1)
    assert struct.unpack_from("<h", head, 254) == (1,)
    assert struct.unpack_from("<12f", head, 280) == (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)


def test_a_transform_of_slicer_says_so_in_its_header(tmp_path):
    write_field(constant(FIXED, 1.0, 2.0, 3.0), tmp_path / "transform.nrrd", "slicer")
    head, data = (tmp_path / "transform.nrrd").read_bytes().split(b"\n\n", 1)
    lines = head.decode().splitlines()
    assert "kinds: vector domain domain domain" in lines
    assert "space: left-posterior-superior" in lines
    assert "intent_code:=1006" in lines
    assert "displacement field type:=resampling" in lines
    assert "sizes: 3 5 4 3" in lines
    assert "space directions: none (0,-1,0) (0,0,2) (3,0,0)" in lines
    assert "space origin: (10,20,30)" in lines
    assert np.frombuffer(gzip.decompress(data), "<f4")[:6].tolist() == [1, 2, 3, 1, 2, 3]


@given(grids, st.integers(0, 2**31), st.sampled_from(FILES))
def test_reading_gives_back_what_was_written(folder, grid, seed, file):
    layout, suffix = file
    field = DenseField(grid, torch.randn(3, *grid.shape, generator=torch.Generator().manual_seed(seed)))
    path = folder / f"back_{suffix[-2:]}.{suffix}"
    write_field(field, path, layout)
    again = read_field(path, layout)
    assert torch.equal(again.displacement_mm, field.displacement_mm)
    assert torch.allclose(again.grid.corners_mm(), grid.corners_mm(), atol=1e-3)  # float32 in the headers of NIfTI


@given(grids, grids, st.integers(0, 2**31))
def test_voxels_of_learn2reg_come_back_as_mm_on_any_two_grids(folder, fixed, moving, seed):
    field = DenseField(fixed, 10 * torch.randn(3, *fixed.shape, generator=torch.Generator().manual_seed(seed)))
    path = folder / "disp_back.nii.gz"
    write_field(field, path, "learn2reg", fixed, moving)
    again = read_field(path, "learn2reg", fixed, moving)
    assert (again.displacement_mm - field.displacement_mm).abs().max() < 2e-3  # mm; float32 of up to 2000 voxels


@pytest.mark.parametrize("file", [*FILES, ("h5", "h5")])
@given(grid=grids, seed=st.integers(0, 2**31))
def test_itk_agrees_with_the_field_inside_its_grid(folder, grid, seed, file):
    layout, suffix = file
    generator = torch.Generator().manual_seed(seed)
    field = DenseField(grid, torch.randn(3, *grid.shape, generator=generator) * 10)
    path = folder / f"field_{suffix[-2:]}.{suffix}"  # ITK would take the voxels of a field.nii for field.nii.gz
    transform = written(field, path, layout)
    points_mm = points_inside(grid, 20, generator) * 0.98 + grid.corners_mm().mean(0) * 0.02
    moved_mm = torch.tensor([transform.TransformPoint(p) for p in points_mm.tolist()], dtype=torch.float64)
    assert torch.allclose(moved_mm, field(points_mm), atol=1e-2)  # the grid of NIfTI is some 1e-5 mm off


@pytest.mark.parametrize(("layout", "suffix"), [*FILES, ("learn2reg", "nii.gz")])
def test_a_field_is_evaluated_at_every_voxel_of_the_fixed_grid(tmp_path, layout, suffix):
    field = affine_field(LARGER, MATRIX, OFFSET_MM)
    path = tmp_path / f"field.{suffix}"
    moving = grid_of((5, 6, 7), [1.5, 0.9, 3.0], [20.0, -40.0, 60.0], [50.0, 5.0, -80.0], flip=False)
    write_field(field, path, layout, OBLIQUE, moving)
    again = read_field(path, layout, OBLIQUE, moving)
    assert torch.allclose(again.grid.corners_mm(), OBLIQUE.corners_mm(), atol=1e-3)
    expected = affine_field(OBLIQUE, MATRIX, OFFSET_MM).displacement_mm
    assert torch.allclose(again.displacement_mm.double(), expected, atol=1e-3)


def test_beyond_the_field_its_border_value_goes_on(tmp_path):
    write_field(constant(OBLIQUE, 1.0, 2.0, 3.0), tmp_path / "field.mha", "itk", LARGER)
    field = read_field(tmp_path / "field.mha", "itk")
    assert torch.allclose(field.grid.corners_mm(), LARGER.corners_mm())
    assert torch.allclose(field.displacement_mm, constant(LARGER, 1.0, 2.0, 3.0).displacement_mm)


def test_the_evaluator_of_learn2reg_warps_as_we_do(tmp_path, generator):
    field = smooth(OBLIQUE, generator)
    moving = Volume(LARGER, LARGER.points_mm(torch.zeros(1)) @ torch.tensor([3.0, -2.0, 5.0]))
    write_field(field, tmp_path / "disp.nii.gz", "learn2reg", OBLIQUE, LARGER)
    voxels = voxels_of(tmp_path / "disp.nii.gz").astype(float)
    where = np.meshgrid(*(np.arange(n) for n in voxels.shape[:3]), indexing="ij") + voxels.transpose(3, 0, 1, 2)
    warped = map_coordinates(moving.data.numpy().T, where, order=1)  # [X, Y, Z]
    assert np.abs(warped.T - resample(moving, OBLIQUE, field).data.numpy()).max() < 0.02  # 6 HU per mm


def test_a_field_on_another_device_with_a_gradient_is_written(tmp_path, device):
    field = DenseField(OBLIQUE, torch.ones(3, *OBLIQUE.shape, device=device, requires_grad=True))
    for layout, name in (("itk", "field.nrrd"), ("learn2reg", "disp.nii.gz")):
        write_field(field, tmp_path / name, layout, OBLIQUE, OBLIQUE)
        again = read_field(tmp_path / name, layout, OBLIQUE, OBLIQUE)
        assert torch.allclose(again.displacement_mm.float(), torch.ones(3, *OBLIQUE.shape), atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_field_has_the_same_bytes_and_leaves_no_other_file(tmp_path, layout):
    name = "field.nrrd" if layout == "slicer" else "field.nii.gz"
    for part in ("one", "two"):
        write_field(constant(FIXED, 1.0, 2.0, 3.0), tmp_path / part / name, layout, FIXED, MOVING)
    assert [path.name for path in (tmp_path / "one").iterdir()] == [name]
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "layout", "said"),
    [
        ("field.h5", "itk", "a name ending in .nii.gz, .nii, .mha, .nrrd needed, 'field.h5' found"),
        ("field.nii", "ants", "a name ending in .nii.gz needed, 'field.nii' found"),
        ("field.nii.gz", "slicer", "a name ending in .nrrd needed, 'field.nii.gz' found"),
        ("field.npz", "learn2reg", "a name ending in .nii.gz needed, 'field.npz' found"),
        ("field.nii.gz", "elastix", "a layout out of itk, ants, slicer, learn2reg needed, 'elastix' found"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_written(tmp_path, name, layout, said):
    with pytest.raises(InputError) as error:
        write_field(constant(FIXED, 1.0, 2.0, 3.0), tmp_path / name, layout, FIXED, MOVING)
    assert str(error.value) == f"{tmp_path / name}: {said}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fixed", "moving", "found"),
    [
        (None, None, "neither"),
        (FIXED, None, "that of the fixed one alone"),
        (None, MOVING, "that of the moving one alone"),
    ],
)
def test_learn2reg_needs_both_grids(tmp_path, fixed, moving, found):
    with pytest.raises(InputError, match=f"the grids of the fixed and of the moving image needed, {found} found"):
        write_field(constant(FIXED, 1.0, 2.0, 3.0), tmp_path / "disp.nii.gz", "learn2reg", fixed, moving)
    assert not list(tmp_path.iterdir())
