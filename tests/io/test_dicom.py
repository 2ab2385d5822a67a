import numpy as np
import pytest
import SimpleITK as sitk
import torch
from support.dicom import NOT_TO_BE_TOLD, SLICES, dicom

from graphreg.core.grid import Grid
from graphreg.io import InputError, read_volume


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
    assert not [word for word in NOT_TO_BE_TOLD if word in str(error.value)]


def test_reading_is_silent_and_leaves_the_warnings_of_itk_as_they_were(tmp_path, capfd):
    dicom(tmp_path / "ct", SLICES, skip=(2,))
    capfd.readouterr()
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    with pytest.raises(InputError):
        read_volume(tmp_path / "ct")
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == before
    assert capfd.readouterr() == ("", "")
