import numpy as np
import pytest
import SimpleITK as sitk
import torch

from graphreg.core.grid import Grid
from graphreg.io import InputError, read_volume


def dicom(folder, array, uid="1.2.826.1", skip=(), shear_mm=0.0):
    """Axial slices of 0.7 x 0.7 x 2.5 mm from (-10, -20, -30), stored as HU + 1024, files named in falling order."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in set(range(len(array))) - set(skip):
        image = sitk.GetImageFromArray(array[k : k + 1].astype(float))
        image.SetSpacing((0.7, 0.7, 2.5))
        tags = {
            "0008|0060": "CT",
            "0010|0010": "Name^Secret",
            "0020|000d": "1.2.826",
            "0020|000e": uid,
            "0008|0018": f"{uid}.{k}",
            "0020|0032": f"-10\\{-20 + shear_mm * k}\\{-30 + 2.5 * k}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|0100": "16",
            "0028|0101": "12",
            "0028|0102": "11",
            "0028|0103": "0",  # unsigned
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid}-{99 - k}.dcm"))
        writer.Execute(image)


SLICES = np.random.default_rng(3).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)


def test_a_dicom_folder_is_stacked_by_position_and_rescaled_to_hu(tmp_path):
    dicom(tmp_path / "ct", SLICES)
    stored = np.frombuffer((tmp_path / "ct" / "1.2.826.1-99.dcm").read_bytes()[-84:], "<u2")
    assert np.array_equal(stored, SLICES[0].ravel() + 1024)
    (tmp_path / "ct" / "notes.txt").write_text("other files do not disturb")
    volume = read_volume(tmp_path / "ct")
    expected = Grid((5, 6, 7), (0.7, 0.7, 2.5), (-10.0, -20.0, -30.0))
    assert volume.grid.shape == expected.shape
    assert torch.allclose(volume.grid.corners_mm(), expected.corners_mm(), atol=1e-6)
    assert np.array_equal(volume.data.numpy(), SLICES)
    assert volume.stored == "int16"  # of 12 bits without a sign, rescaled by -1024


@pytest.mark.parametrize(
    ("series", "found"),
    [
        ([{"array": SLICES}, {"array": SLICES, "uid": "1.2.826.2"}], "one DICOM series needed, 2 series found"),
        ([{"array": SLICES, "skip": (2,)}], "slice 2 of 4 lying 0.83 mm beside its place found"),
        ([{"array": SLICES, "shear_mm": 0.5}], "slice 2 of 5 lying 0.50 mm beside its place found"),
        ([{"array": SLICES[:1]}], "7 x 6 x 1 voxels found"),
    ],
)
def test_a_dicom_folder_that_is_not_one_even_stack_is_refused_without_a_name(tmp_path, series, found):
    for one in series:
        dicom(tmp_path / "ct", **one)
    with pytest.raises(InputError) as error:
        read_volume(tmp_path / "ct")
    assert str(error.value).startswith(f"{tmp_path / 'ct'}: ") and str(error.value).endswith(found)
    assert "Secret" not in str(error.value) and "1.2.826" not in str(error.value)


def test_reading_is_silent_and_leaves_the_warnings_of_itk_as_they_were(tmp_path, capfd):
    dicom(tmp_path / "ct", SLICES, skip=(2,))
    capfd.readouterr()
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    with pytest.raises(InputError):
        read_volume(tmp_path / "ct")
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == before
    assert capfd.readouterr() == ("", "")
