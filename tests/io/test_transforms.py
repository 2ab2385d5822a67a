import dataclasses
import math
import struct

import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.problems import OBLIQUE, grids, points_inside

from graphreg.core.grid import Grid
from graphreg.core.records import DenseField
from graphreg.io import InputError, read_transform, write_transform
from graphreg.io.transforms import to_transform


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("transforms")


def transformed(path, points_mm):
    transform = sitk.ReadTransform(str(path))
    return torch.tensor([transform.TransformPoint(p) for p in points_mm.tolist()], dtype=torch.float64)


def test_itk_moves_a_point_by_the_components_x_y_z_whatever_the_direction(folder):
    turned = ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    grid = Grid((3, 3, 3), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0), turned)
    displacement_mm = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1).expand(3, *grid.shape)
    write_transform(DenseField(grid, displacement_mm), folder / "literal.h5")
    # index (z, y, x) = (1, 1, 1) lies at (10 + 3, 20 - 1, 30 + 2)
    transform = sitk.ReadTransform(str(folder / "literal.h5"))
    assert transform.TransformPoint((13.0, 19.0, 32.0)) == pytest.approx((14.0, 21.0, 35.0))


@given(grids, st.integers(0, 2**31))
def test_itk_agrees_with_the_field_inside_its_grid(folder, grid, seed):
    generator = torch.Generator().manual_seed(seed)
    field = DenseField(grid, torch.randn(3, *grid.shape, generator=generator) * 10)
    write_transform(field, folder / "field.h5")
    points_mm = points_inside(grid, 20, generator)
    assert torch.allclose(transformed(folder / "field.h5", points_mm), field(points_mm), atol=1e-3)


def test_a_transform_that_was_never_written_moves_as_the_file_does(folder, generator):
    field = DenseField(OBLIQUE, torch.randn(3, *OBLIQUE.shape, generator=generator))
    write_transform(field, folder / "same.h5")
    transform, written = to_transform(field), sitk.ReadTransform(str(folder / "same.h5"))
    points_mm = points_inside(OBLIQUE, 20, generator).tolist()
    assert [transform.TransformPoint(p) for p in points_mm] == [written.TransformPoint(p) for p in points_mm]


@given(grids, st.integers(0, 2**31))
def test_reading_gives_back_what_was_written(folder, grid, seed):
    generator = torch.Generator().manual_seed(seed)
    field = DenseField(grid, torch.randn(3, *grid.shape, generator=generator))
    write_transform(field, folder / "back.h5")
    again = read_transform(folder / "back.h5")
    assert again.grid == grid and torch.equal(again.displacement_mm, field.displacement_mm)


def test_a_field_on_another_device_with_a_gradient_is_written(folder, device):
    field = DenseField(OBLIQUE, torch.ones(3, *OBLIQUE.shape, device=device, requires_grad=True))
    write_transform(field, folder / "device.h5")
    assert torch.equal(read_transform(folder / "device.h5").displacement_mm, torch.ones(3, *OBLIQUE.shape))


def not_a_transform(path):
    path.write_text("nothing of the kind")


def a_translation(path):
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(path))


def a_field_of_a_plane(path):
    image = sitk.Image([4, 4], sitk.sitkVectorFloat64, 2)
    sitk.WriteTransform(sitk.DisplacementFieldTransform(image), str(path))


def a_field_with_nan(path):
    displacement_mm = torch.zeros(3, *OBLIQUE.shape)
    displacement_mm[1, 2, 3, 4] = torch.nan
    write_transform(DenseField(OBLIQUE, displacement_mm), path)


def a_field_that_says_to_be_of(*sizes):
    """One whose header asks for another number of voxels than the file holds."""

    def make(path):
        write_transform(DenseField(OBLIQUE, torch.zeros(3, *OBLIQUE.shape)), path)
        own, other = (struct.pack("<3d", *map(float, reversed(shape))) for shape in (OBLIQUE.shape, sizes))
        content = path.read_bytes()
        assert content.count(own) == 1
        path.write_bytes(content.replace(own, other))

    return make


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (a_field_that_says_to_be_of(1e6, 1e6, 1e6), "700000 x 1.3e+06 x 2.5e+06 mm found"),
        (a_field_that_says_to_be_of(2.0**62, 4, 1), "0.7 x 5.2 x 1.15292e+19 mm found"),
        (a_field_that_says_to_be_of(-6, 7, 9), "of at least 1, got (-6, 7, 9)"),
        (a_field_that_says_to_be_of(6, 7, math.nan), "of at least 1, got (6, 7, 0)"),
        (a_field_that_says_to_be_of(0, 0, 0), "of at least 1, got (0, 0, 0)"),
        (lambda path: None, "nothing found"),
        (lambda path: path.mkdir(), "a folder found"),
        (not_a_transform, "cannot be read: no HDF5 file as ITK writes it found"),
        (a_translation, "3-D TranslationTransform found"),
        (a_field_of_a_plane, "2-D DisplacementFieldTransform found"),
        (a_field_with_nan, "NaN or infinite displacements found"),
    ],
)
def test_another_file_is_refused_in_one_line_that_names_it(tmp_path, make, found):
    path = tmp_path / "wrong.h5"
    make(path)
    with pytest.raises(InputError) as error:
        read_transform(path)
    assert str(error.value).startswith(str(path)) and str(error.value).endswith(found)
    assert "\n" not in str(error.value)


def test_a_name_of_another_kind_of_file_is_refused_before_anything_is_written(tmp_path):
    field = DenseField(OBLIQUE, torch.zeros(3, *OBLIQUE.shape))
    with pytest.raises(InputError, match="a name ending in .h5"):
        write_transform(field, tmp_path / "transform.nii.gz")
    assert not list(tmp_path.iterdir())


def test_writing_leaves_the_field_and_no_other_file(tmp_path):
    field = DenseField(dataclasses.replace(OBLIQUE), torch.ones(3, *OBLIQUE.shape))
    write_transform(field, tmp_path / "new" / "transform.h5")
    assert torch.equal(field.displacement_mm, torch.ones(3, *OBLIQUE.shape))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["transform.h5"]
