import numpy as np
import pytest
import SimpleITK as sitk
import torch
from support.dicom import SLICES, dicom

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


def test_reading_is_silent_and_leaves_the_warnings_of_itk_as_they_were(tmp_path, capfd):
    dicom(tmp_path / "ct", SLICES, skip=(2,))
    capfd.readouterr()
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    with pytest.raises(InputError):
        read_volume(tmp_path / "ct")
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == before
    assert capfd.readouterr() == ("", "")
