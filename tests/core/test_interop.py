"""Images of other libraries, by stand-ins that have what theirs have: where each voxel sits is worked out by hand."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.problems import OBLIQUE, grids, noise

from graphreg.core.errors import InputError
from graphreg.core.foreign import STORED
from graphreg.core.grid import Grid
from graphreg.core.interop import as_mask, as_volume
from graphreg.core.records import Volume

# index i runs 2 mm to the right and back, in the plane: RAS (1.6, -1.2, 0); j 0.5 mm to the left and back: RAS
# (-0.3, -0.4, 0); k 3 mm down; the first voxel lies at RAS (10, 20, 30)
AFFINE = np.array([[1.6, -0.3, 0, 10], [-1.2, -0.4, 0, 20], [0, 0, -3.0, 30], [0, 0, 0, 1]])
VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)  # (X, Y, Z)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE
SHIFTED = AFFINE + np.array([[0, 0, 0, 1]] + [[0] * 4] * 3)
SHEARED = AFFINE + np.array([[0, 0.1, 0, 0]] + [[0] * 4] * 3)


class MetaTensor(torch.Tensor):
    """As MONAI has it."""

    affine: Any
    meta: dict[str, Any]

    def __new__(cls, data, affine, meta=None):
        tensor = torch.as_tensor(data).as_subclass(cls)
        tensor.affine, tensor.meta = affine, meta or {}
        return tensor


class Space:
    """As an enumeration."""

    def __init__(self, value):
        self.value = value


def nibabel(voxels, affine=AFFINE):
    return SimpleNamespace(dataobj=voxels, affine=affine)


def torchio(voxels, affine=AFFINE):
    return SimpleNamespace(data=torch.from_numpy(voxels)[None], affine=affine)


def tensor_of(voxels, affine=AFFINE, **meta):
    return MetaTensor(voxels, torch.from_numpy(affine), meta)


FOREIGN = {
    "nibabel": nibabel(VOXELS),
    "nibabel, four axes": nibabel(VOXELS[..., None]),
    "nibabel, Fortran order, big-endian": nibabel(np.asfortranarray(VOXELS.astype(">i2"))),
    "MONAI": tensor_of(VOXELS[None]),
    "MONAI without channels": tensor_of(VOXELS, space="RAS"),
    "MONAI in LPS": tensor_of(VOXELS[None], LPS, space="LPS"),
    "MONAI in LPS by an enumeration": tensor_of(VOXELS[None], LPS, space=Space("LPS")),
    "TorchIO": torchio(VOXELS),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_an_oblique_affine_in_ras_gives_every_voxel_its_place_in_lps(name):
    volume = as_volume(FOREIGN[name])
    assert volume.grid.shape == (4, 3, 2) and volume.stored == "int16" and volume.data.dtype == torch.float32
    assert volume.grid.spacing_mm == pytest.approx((2.0, 0.5, 3.0))
    assert volume.grid.origin_mm == (-10.0, -20.0, 30.0)
    assert sum(volume.grid.direction, ()) == pytest.approx((-0.8, 0.6, 0, 0.6, 0.8, 0, 0, 0, -1))
    # voxel (i, j, k) = (1, 2, 3): RAS (10 + 1.6 - 0.6, 20 - 1.2 - 0.8, 30 - 9) = (11, 18, 21)
    assert volume.grid.to_mm(torch.tensor([3.0, 2.0, 1.0]).double()).tolist() == pytest.approx([-11, -18, 21])
    assert volume.data[3, 2, 1] == VOXELS[1, 2, 3] and torch.equal(volume.data, torch.tensor(VOXELS.T).float())


def test_a_volume_of_nibabel_by_its_own_name_is_the_same():
    one, other = Volume.from_nibabel(FOREIGN["nibabel"]), as_volume(FOREIGN["nibabel"])
    assert one.grid == other.grid and torch.equal(one.data, other.data)


def test_an_array_has_the_axes_z_y_x_and_its_geometry_x_y_z():
    array = np.arange(24.0).reshape(2, 3, 4)
    turned: list[list[float]] = [[0, 0, 1], [-1, 0, 0], [0, 1, 0]]  # x points to -y, y to z, z to x
    volume = Volume.from_numpy(array, (0.5, 2, 3), origin=(1, 2, 3), direction=turned)
    assert volume.grid.to_mm(torch.tensor([1.0, 1.0, 1.0])).tolist() == [1 + 3, 2 - 0.5, 3 + 2]
    assert volume.stored == "float64" and np.array_equal(volume.to_numpy(), array)
    volume.to_numpy()[0] = array[0] = 7
    assert volume.data[0, 0, 0] == 0  # in memory of its own
    plain = Volume.from_numpy(array.astype(bool), tuple(np.array([1, 1, 2], np.int64)))
    assert plain.grid == Grid((2, 3, 4), (1.0, 1.0, 2.0)) and plain.stored == "uint8"


@pytest.mark.parametrize(
    ("array", "stored"),
    [
        *((torch.ones(2, 2, 2, dtype=getattr(torch, name)), name) for name in STORED),
        (torch.ones(2, 2, 2).half(), "float32"),
        (torch.ones(2, 2, 2).bfloat16(), "float32"),
        (torch.ones(2, 2, 2, requires_grad=True), "float32"),
        (np.ones((2, 2, 2), np.float16), "float32"),
        ([[[1, 2], [3, 4]]], "int64"),
    ],
)
def test_the_stored_type_is_that_of_the_array(array, stored):
    assert Volume.from_numpy(array, (1, 1, 1)).stored == stored


@pytest.mark.parametrize("stored", STORED)
@given(grid=grids, seed=st.integers(0, 2**31))
def test_simpleitk_and_back_is_the_same_both_ways(stored, grid, seed):
    generator = torch.Generator().manual_seed(seed)
    volume = Volume(grid, torch.randint(0, 100, grid.shape, generator=generator).float(), stored)
    image = volume.to_sitk()
    assert sitk.GetArrayViewFromImage(image).dtype.name == stored
    index = [int(torch.randint(n, (), generator=generator)) for n in grid.shape]
    place = image.TransformIndexToPhysicalPoint(index[::-1])
    assert place == pytest.approx(grid.to_mm(torch.tensor(index).double()).tolist(), abs=1e-9)
    assert image.GetPixel(index[::-1]) == volume.data[tuple(index)]
    for again in (Volume.from_sitk(image), as_volume(image)):
        assert again.grid == grid and again.stored == stored and torch.equal(again.data, volume.data)


def test_a_volume_is_taken_as_it_is(generator):
    volume = noise(OBLIQUE, generator)
    assert as_volume(volume) is volume


HOLE = np.where(VOXELS == 5, np.nan, VOXELS.astype(np.float32))
BARE = "a Volume, an image of SimpleITK or nibabel, a MetaTensor of MONAI or an image of TorchIO needed"
RUNS = sitk.LabelImageToLabelMap(sitk.Image([3, 3, 3], sitk.sitkUInt8))


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (
            VOXELS,
            f"{BARE}, numpy.ndarray of shape (2, 3, 4) without spacing (Volume.from_numpy takes it with one) found",
        ),
        (torch.zeros(2, 3, 4), f"{BARE}, torch.Tensor of shape (2, 3, 4) without spacing"),
        ("ct.nii", f"{BARE}, str found"),
        (None, f"{BARE}, NoneType found"),
        (SimpleNamespace(affine=AFFINE, data=b""), f"{BARE}, types.SimpleNamespace found"),
        (nibabel(HOLE), "finite values needed, NaN or infinite ones found"),
        (nibabel(np.where(np.isnan(HOLE), -np.inf, HOLE)), "finite values needed"),
        (nibabel(VOXELS[0]), "an image of 3 axes needed, one of shape (3, 4) found"),
        (nibabel(np.zeros((2, 3, 4, 5))), "an image of 3 axes needed, one of shape (2, 3, 4, 5) found"),
        (nibabel(np.zeros((2, 0, 4))), "at least one voxel needed, an array of shape (4, 0, 2) found"),
        (nibabel(VOXELS.astype(complex)), "voxels that are numbers needed, complex128 found"),
        (nibabel(VOXELS.astype([("R", "u1"), ("G", "u1")])), "voxels that are numbers needed, void16 found"),
        (nibabel(VOXELS.astype(object)), "voxels that are numbers needed, object found"),
        (nibabel(VOXELS, SHEARED), "an affine without shear, its axes at right angles needed, a cosine of 0.1"),
        (nibabel(VOXELS, AFFINE * [1, 1, 0, 1]), "an affine of finite numbers with three axes needed"),
        (nibabel(VOXELS, AFFINE * np.nan), "an affine of finite numbers with three axes needed"),
        (nibabel(VOXELS, AFFINE[:3]), "an affine (4, 4) needed, one of shape (3, 4) found"),
        (nibabel(VOXELS, None), "an affine (4, 4) needed, none found"),
        (tensor_of(np.stack([VOXELS] * 3)), "one value per voxel needed, 3 (colours, vectors or channels) found"),
        (tensor_of(VOXELS[None, None]), "an image of 3 axes needed, one of shape (1, 1, 2, 3, 4) found"),
        (tensor_of(VOXELS, SHEARED), "an affine without shear"),
        (SimpleNamespace(data=torch.zeros(2, 3, 4, 5), affine=AFFINE), "one value per voxel needed, 2"),
        (sitk.Image([3, 4], sitk.sitkInt16), "a 3-D image needed, a 2-D one found"),
        (sitk.Image([3, 4, 5, 6], sitk.sitkInt16), "a 3-D image needed, a 4-D one found"),
        (sitk.Image([3, 4, 5], sitk.sitkVectorFloat32, 3), "one value per voxel needed, 3"),
        (sitk.Image([3, 4, 5], sitk.sitkComplexFloat32), "voxels that are numbers needed, complex64 found"),
        (RUNS, "voxels that are numbers needed, label of"),
        (sitk.Image([3, 4, 5], sitk.sitkFloat32) / 0, "finite values needed, NaN or infinite ones found"),
    ],
)
def test_what_is_no_image_is_refused_with_what_is_needed_and_found(image, told):
    with pytest.raises(InputError) as error:
        as_volume(image)
    assert str(error.value).startswith(told) and str(error.value).endswith(" found") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"array": VOXELS[0]}, "an array (D, H, W) needed, one of 2 axes found"),
        ({"array": HOLE}, "finite values needed"),
        ({"array": "abc"}, "voxels that are numbers needed, str"),
        ({"spacing": (1, 1)}, "Grid spacing must be three positive numbers"),
        ({"spacing": 1.0}, "Grid spacing must be three positive numbers"),
        ({"spacing": (1, 1, 0)}, "Grid spacing must be three positive numbers"),
        ({"spacing": (1, 1, None)}, "Grid spacing must be three positive numbers"),
        ({"spacing": "abc"}, "could not convert"),
        ({"spacing": {}}, "float"),
        ({"origin": (0, 0, np.inf)}, "Grid origin must be three finite numbers"),
        ({"direction": np.eye(4)}, "Grid direction must be an orthonormal 3 x 3 matrix, got one of shape (4, 4)"),
        ({"direction": 2 * np.eye(3)}, "Grid direction must be an orthonormal 3 x 3 matrix"),
    ],
)
def test_an_array_that_is_none_of_an_image_is_refused(change, told):
    with pytest.raises(InputError) as error:
        Volume.from_numpy(**{"array": VOXELS, "spacing": (1, 1, 1)} | change)
    assert told in str(error.value)


# masks

GRID = as_volume(FOREIGN["nibabel"]).grid
INSIDE = VOXELS % 3  # 0, 1 and 2
EXPECTED = torch.from_numpy(INSIDE.T > 0)
MASKS = {
    "nibabel": nibabel(INSIDE),
    "MONAI": tensor_of(INSIDE[None] > 0),
    "TorchIO": torchio(INSIDE.astype(np.uint8)),
    "SimpleITK": Volume(GRID, EXPECTED.float(), "uint8").to_sitk(),
    "a Volume": Volume(GRID, EXPECTED.float() / 2),
    "an array of truths": INSIDE.T > 0,
    "an array of numbers": INSIDE.T,
    "a tensor of truths": EXPECTED,
    "a tensor of fractions": EXPECTED.half() / 2,
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_true_where_it_is_not_zero_whatever_holds_it(name):
    mask = as_mask(MASKS[name], GRID)
    assert mask.dtype == torch.bool and torch.equal(mask, EXPECTED)


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (INSIDE, "a mask of shape (4, 3, 2) needed, one of (2, 3, 4) found"),
        (INSIDE * 0, "a mask of shape (4, 3, 2) needed"),
        (INSIDE.T * 0, "a mask with voxels that are not zero needed, an empty mask found"),
        (INSIDE.T * np.nan, "finite values needed"),
        (INSIDE.T.astype(str), "voxels that are numbers needed"),
        (
            nibabel(INSIDE, SHIFTED),
            "a mask on the grid of its image (2 x 3 x 4 voxels of 2 x 0.5 x 3 mm from (-10, -20",
        ),
        (
            Volume(OBLIQUE, torch.ones(OBLIQUE.shape)),
            "a mask on the grid of its image (2 x 3 x 4 voxels of 2 x 0.5 x 3 mm",
        ),
        ("mask.nii", f"{BARE.removesuffix(' needed')}, an array or a tensor needed, str found"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask, told):
    with pytest.raises(InputError) as error:
        as_mask(mask, GRID)
    assert str(error.value).startswith(told) and str(error.value).endswith(" found")


def test_records_stand_without_simpleitk():
    code = """
import sys, types, pathlib
package = types.ModuleType("graphreg")
package.__path__ = [str(pathlib.Path(sys.argv[1]))]  # without what its front page imports
sys.modules["graphreg"] = package
import graphreg.core.interop, graphreg.core.records
assert "SimpleITK" not in sys.modules and "nibabel" not in sys.modules
"""
    import graphreg

    done = subprocess.run(
        [sys.executable, "-c", code, graphreg.__path__[0]], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
