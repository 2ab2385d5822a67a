import dataclasses

import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.problems import OBLIQUE, grids, points_inside

from graphreg.core.records import DenseField
from graphreg.io import InputError, read_transform, write_transform
from graphreg.io.transforms import to_transform


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


def test_writing_leaves_the_field_and_no_other_file_and_a_name_of_another_kind_is_refused_before(tmp_path):
    field = DenseField(OBLIQUE, torch.zeros(3, *OBLIQUE.shape))
    with pytest.raises(InputError, match="a name ending in .h5"):
        write_transform(field, tmp_path / "transform.nii.gz")
    assert not list(tmp_path.iterdir())
    field = DenseField(dataclasses.replace(OBLIQUE), torch.ones(3, *OBLIQUE.shape))
    write_transform(field, tmp_path / "new" / "transform.h5")
    assert torch.equal(field.displacement_mm, torch.ones(3, *OBLIQUE.shape))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["transform.h5"]
