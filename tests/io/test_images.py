import dataclasses
import os
import struct

import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.damage import nifti
from support.problems import OBLIQUE, grids, noise, present

from graphreg.core.grid import Grid
from graphreg.core.records import Volume
from graphreg.io import InputError, atomic_path, formats, images, read_mask, read_pair, read_volume, write_volume
from graphreg.io.images import read_grid, read_labels

PLAIN = Grid((2, 3, 4), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0))
COUNTED = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)


def same(one, other, tolerance_mm=1e-3):
    gap = (one.corners_mm() - other.corners_mm()).abs().max()
    return one.shape == other.shape and gap <= tolerance_mm


def written(folder, rows):
    """A NIfTI file of the counted voxels made byte by byte, by the rows of its RAS affine."""
    affine = [value for row in rows for value in row]
    size = {"dim": (3, 4, 3, 2, 1, 1, 1, 1), "pixdim": (1, 1, 2, 3, 1, 1, 1, 1)}
    content = nifti(struct.pack("<24h", *range(24)), **size, srow=affine)
    (folder / "a.nii").write_bytes(content)
    return read_volume(folder / "a.nii")


def test_a_nifti_affine_in_ras_is_read_as_lps(tmp_path):
    # index x runs to the left, y to the back, z to the head: the usual CT, whose RAS affine has two minus signs
    rows = [(-1, 0, 0, -10), (0, -2, 0, -20), (0, 0, 3, 30)]
    volume = written(tmp_path, rows)
    assert volume.grid == PLAIN
    assert torch.equal(volume.data, COUNTED)


def test_a_nifti_whose_axes_run_to_right_front_and_head_has_a_turned_direction(tmp_path):
    rows = [(1, 0, 0, -10), (0, 2, 0, -20), (0, 0, 3, 30)]
    grid = written(tmp_path, rows).grid
    # the voxel of index x = 3, y = 2, z = 1 lies at RAS (-7, -16, 33), hence LPS (7, 16, 33)
    assert grid.to_mm(torch.tensor([1.0, 2.0, 3.0])).tolist() == [7, 16, 33]


def test_a_nifti_is_written_with_an_affine_in_ras_and_x_running_fastest(tmp_path):
    write_volume(Volume(PLAIN, COUNTED, "int16"), tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes()
    affine = [-1, 0, 0, -10, 0, -2, 0, -20, 0, 0, 3, 30]
    assert list(struct.unpack_from("<12f", content, 280)) == affine
    assert struct.unpack_from("<24h", content, 352) == tuple(range(24))


@pytest.mark.parametrize("name", ["a.nii.gz", "b.nii", "c.mha", "d.nrrd"])
@given(grid=grids, seed=st.integers(0, 2**31))
def test_reading_gives_back_what_was_written(folder, name, grid, seed):
    volume = noise(grid, torch.Generator().manual_seed(seed))
    write_volume(volume, folder / name)
    again = read_volume(folder / name)
    assert same(again.grid, grid) and torch.equal(again.data, volume.data) and again.data.dtype == torch.float32
    assert again.stored == "float32"


VALUES = [1.6, -1.6, 40000.0, -40000.0, 0.25, 2.0**70]
ROUNDED = {
    "int8": [2, -2, 127, -128, 0, 127],
    "uint8": [2, 0, 255, 0, 0, 255],
    "int16": [2, -2, 32767, -32768, 0, 32767],
    "uint16": [2, 0, 40000, 0, 0, 65535],
    "int32": [2, -2, 40000, -40000, 0, 2**31 - 1],
    "uint32": [2, 0, 40000, 0, 0, 2**32 - 1],
    "int64": [2, -2, 40000, -40000, 0, 2**63 - 1024],  # the last double before 2^63
    "uint64": [2, 0, 40000, 0, 0, 2**64 - 2048],
    "float32": torch.tensor(VALUES).tolist(),
    "float64": torch.tensor(VALUES).tolist(),
}
SIX = Grid((2, 2, 3), (1.0, 1.0, 1.0))


def found_in(content, path, **options):
    """Type and first slice of what SimpleITK finds in the file of an image."""
    write_volume(content, path, **options)
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return array.dtype.name, array[0].ravel().tolist()


@pytest.mark.parametrize("suffix", ["nii.gz", "nii", "mha", "nrrd"])
@pytest.mark.parametrize("stored", ROUNDED)
def test_a_volume_is_written_in_its_stored_type_rounded_and_clamped_to_it(tmp_path, stored, suffix):
    volume = Volume(SIX, torch.tensor(VALUES).reshape(1, 2, 3).expand(2, 2, 3), stored)
    assert found_in(volume, tmp_path / f"a.{suffix}") == (stored, ROUNDED[stored])
    assert read_volume(tmp_path / f"a.{suffix}").stored == stored
    assert found_in(volume, tmp_path / f"f.{suffix}", as_float=True) == ("float32", ROUNDED["float32"])


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (torch.tensor(VALUES), "float32"),
        (torch.tensor(VALUES).double(), "float32"),
        (torch.tensor([1.0, 0, 3, 0, 5, 6]).half(), "float32"),
        (torch.tensor([1, 0, 3, 0, 5, 6]), "int64"),
        (torch.tensor([1, 0, 3, 0, 5, 6], dtype=torch.uint8), "uint8"),
        (torch.tensor([1, 0, 3, 0, 5, 6]) > 0, "uint8"),
    ],
)
def test_data_without_a_stored_type_are_bytes_integers_of_their_own_or_float32(tmp_path, data, name):
    data = data.reshape(1, 2, 3).expand(2, 2, 3)
    assert found_in((SIX, data), tmp_path / "a.nii.gz") == (name, data[0].flatten().to(torch.float32).tolist())
    if data.is_floating_point():
        assert found_in(Volume(SIX, data), tmp_path / "b.nii.gz")[0] == "float32"


def test_scaled_voxels_of_a_nifti_are_stored_as_floats(tmp_path):
    size = {"dim": (3, 4, 3, 2, 1, 1, 1, 1), "pixdim": (1, 1, 1, 1, 1, 1, 1, 1)}
    content = bytearray(nifti(struct.pack("<24h", *range(24)), **size, srow=(-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0)))
    struct.pack_into("<2f", content, 112, 0.5, 3.0)
    (tmp_path / "a.nii").write_bytes(content)
    volume = read_volume(tmp_path / "a.nii")
    assert volume.stored == "float32" and torch.equal(volume.data, COUNTED / 2 + 3)


def test_a_pair_keeps_the_types_of_its_images(tmp_path, generator):
    for name, stored in (("fixed", "uint8"), ("moving", "int32")):
        write_volume(dataclasses.replace(noise(OBLIQUE, generator), stored=stored), tmp_path / f"{name}.nrrd")
    pair = read_pair(tmp_path / "fixed.nrrd", tmp_path / "moving.nrrd")
    assert (pair.fixed.stored, pair.moving.stored) == ("uint8", "int32")


def test_a_mask_is_true_where_the_file_is_not_zero_and_may_be_in_another_format(tmp_path, generator):
    labels = torch.randint(0, 3, OBLIQUE.shape, generator=generator)
    write_volume((OBLIQUE, labels), tmp_path / "labels.mha")
    write_volume(noise(OBLIQUE, generator), tmp_path / "image.nii.gz")
    assert torch.equal(read_mask(tmp_path / "labels.mha", read_volume(tmp_path / "image.nii.gz").grid), labels > 0)


def test_a_pair_keeps_each_image_with_its_own_mask_and_is_refused_with_masks_swapped(tmp_path, generator):
    fixed, moving = noise(OBLIQUE, generator), noise(PLAIN, generator)
    for name, volume in (("fixed", fixed), ("moving", moving)):
        write_volume(volume, tmp_path / f"{name}.mha")
        write_volume((volume.grid, volume.data > 0), tmp_path / f"{name}_mask.mha")
    paths = [tmp_path / f"{name}.mha" for name in ("fixed", "moving", "fixed_mask", "moving_mask")]
    pair = read_pair(*paths)
    assert same(pair.fixed.grid, OBLIQUE) and same(pair.moving.grid, PLAIN)
    assert torch.equal(present(pair.fixed_mask), fixed.data > 0)
    assert torch.equal(present(pair.moving_mask), moving.data > 0)
    pair = read_pair(paths[0], paths[1], moving_mask=paths[3])
    assert pair.fixed_mask is None and torch.equal(present(pair.moving_mask), moving.data > 0)
    for name, grid in (("fixed", PLAIN), ("moving", LONGER)):
        write_volume(noise(grid, generator), tmp_path / f"{name}.mha")
        write_volume((grid, torch.ones(grid.shape) > 0), tmp_path / f"{name}_mask.mha")
    paths = [tmp_path / f"{name}.mha" for name in ("fixed", "moving", "moving_mask", "fixed_mask")]
    with pytest.raises(InputError, match=r"moving_mask.mha: a mask on the grid of .*fixed.mha"):
        read_pair(*paths)


def test_a_series_in_four_dimensions_of_one_volume_is_that_volume(tmp_path):
    image = sitk.GetImageFromArray(COUNTED.numpy()[None], isVector=False)
    image.SetSpacing((1.0, 2.0, 3.0, 1.0))
    image.SetOrigin((10.0, 20.0, 30.0, 0.0))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    volume = read_volume(tmp_path / "a.nii.gz")
    assert same(volume.grid, PLAIN) and torch.equal(volume.data, COUNTED)
    assert read_grid(tmp_path / "a.nii.gz") == volume.grid


def test_a_grid_is_that_of_the_image_whatever_its_axes_without_a_look_at_its_voxels(tmp_path, monkeypatch):
    image = sitk.GetImageFromArray(COUNTED.numpy()[None], isVector=False)
    image.SetSpacing((0.7, 1.3, 2.5, 9.0))
    image.SetOrigin((-5.0, 6.0, 7.0, 8.0))
    image.SetDirection((0, 0, 1, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1))
    names = ("a.nii", "b.nii.gz", "c.mha", "d.nrrd")
    for name in names:
        sitk.WriteImage(image, str(tmp_path / name))
    grids = [read_volume(tmp_path / name).grid for name in names]
    monkeypatch.setattr(formats, "require_bytes", lambda *_: pytest.fail("voxels are looked at"))
    assert [read_grid(tmp_path / name) for name in names] == grids
    assert all(same(grid, grids[2]) for grid in grids)
    # index x points to -y, y to z, z to x
    assert grids[2].to_mm(torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([-5 + 2.5, 6 - 3 * 0.7, 7 + 2 * 1.3])


def test_labels_are_whole_numbers_and_their_file_is_read_once(tmp_path, generator, monkeypatch):
    labels = torch.randint(0, 9, OBLIQUE.shape, generator=generator)
    write_volume((OBLIQUE, labels), tmp_path / "labels.nii.gz")
    opened: list[object] = []

    def counted(path: object) -> object:
        opened.append(path)
        return formats.open_image(str(path))

    monkeypatch.setattr(images, "open_image", counted)
    found = read_labels(tmp_path / "labels.nii.gz", OBLIQUE)
    assert torch.equal(found, labels) and found.dtype == torch.int64 and len(opened) == 1


@pytest.mark.parametrize(
    ("grid", "values", "found"),
    [
        (OBLIQUE, torch.full(OBLIQUE.shape, 0.5), "a label map of whole numbers needed, fractions found"),
        (OBLIQUE, torch.arange(OBLIQUE.voxels).reshape(OBLIQUE.shape), "at most 256 labels needed, 378 values found"),
        (OBLIQUE, torch.zeros(OBLIQUE.shape), "voxels that are not zero needed, an empty label map found"),
        (PLAIN, COUNTED, "from (10, 20, 30), without overlap found"),
    ],
)
def test_what_is_no_label_map_is_refused(tmp_path, grid, values, found):
    write_volume((grid, values), tmp_path / "labels.nii.gz")
    with pytest.raises(InputError) as error:
        read_labels(tmp_path / "labels.nii.gz", OBLIQUE, "ct.nii")
    assert str(error.value).startswith(f"{tmp_path / 'labels.nii.gz'}: a label map ")
    assert str(error.value).endswith(found)


SHIFTED = dataclasses.replace(PLAIN, origin_mm=(10.5, 20.0, 30.0))
FAR = dataclasses.replace(PLAIN, origin_mm=(500.0, 20.0, 30.0))
LONGER = dataclasses.replace(PLAIN, shape=(3, 3, 4))


@pytest.mark.parametrize(
    ("grid", "mask", "words"),
    [
        (PLAIN, torch.zeros(2, 3, 4) > 0, ["an empty mask found"]),
        (SHIFTED, torch.ones(2, 3, 4) > 0, ["on the grid of ct.nii", "from (10, 20, 30)", "from (10.5, 20, 30) found"]),
        (LONGER, torch.ones(3, 3, 4) > 0, ["4 x 3 x 2 voxels of 1 x 2 x 3 mm", "needed, 4 x 3 x 3 voxels"]),
        (FAR, torch.ones(2, 3, 4) > 0, ["ct.nii", "without overlap found"]),
    ],
)
def test_a_mask_that_is_empty_or_elsewhere_is_refused_with_both_names(tmp_path, grid, mask, words):
    write_volume((grid, mask), tmp_path / "mask.nii.gz")
    with pytest.raises(InputError) as error:
        read_mask(tmp_path / "mask.nii.gz", PLAIN, "ct.nii")
    assert str(error.value).startswith(f"{tmp_path / 'mask.nii.gz'}: ")
    assert all(word in str(error.value) for word in words)


def test_a_failed_write_leaves_the_old_file_and_no_other_and_a_finished_one_replaces_it(tmp_path):
    target = tmp_path / "result.nii.gz"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        assert temporary.parent == tmp_path and temporary.name.endswith(".nii.gz")
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["result.nii.gz"] and target.read_text(encoding="utf-8") == "old"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    assert os.listdir(tmp_path) == ["result.nii.gz"] and target.read_text(encoding="utf-8") == "new"


def test_an_image_in_a_format_that_is_not_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="a name ending in .nii.gz, .nii, .mha, .nrrd needed, 'a.mhd' found"):
        write_volume(Volume(PLAIN, COUNTED), tmp_path / "a.mhd")
    assert not list(tmp_path.iterdir())
