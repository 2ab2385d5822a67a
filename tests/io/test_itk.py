"""ITK serves one thread at a time: what reads or writes files with it must wait for its turn."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import SimpleITK as sitk
import torch
from support.problems import OBLIQUE, noise
from test_dicom import SLICES, dicom

from graphreg.core.records import DenseField
from graphreg.io import read_pair, read_transform, read_volume, write_transform, write_volume
from graphreg.io.exports import write_field
from graphreg.io.extents import read_extent
from graphreg.io.images import read_grid
from graphreg.io.itk import itk_alone, itk_writes
from graphreg.io.pictures import write_pixels

CALLS = [(sitk.ImageFileReader, "ReadImageInformation"), (sitk.ImageFileReader, "Execute")]
CALLS += [(sitk, "WriteImage"), (sitk, "WriteTransform"), (sitk.ImageSeriesReader, "GetGDCMSeriesIDs")]


@pytest.fixture
def meetings(monkeypatch):
    """The calls that began while another thread was in one."""
    inside, met = [], []

    def watched(name, call):
        def wrapped(*arguments, **options):
            met.extend((name, other) for other in inside)
            inside.append(name)
            time.sleep(0.02)  # lets the others come
            try:
                return call(*arguments, **options)
            finally:
                inside.remove(name)

        return wrapped

    for owner, name in CALLS:
        monkeypatch.setattr(owner, name, watched(name, getattr(owner, name)))
    return met


def at_once(*jobs):
    """What each function returns for its arguments."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [done.result() for done in [pool.submit(*job) for job in jobs]]


def test_the_watch_sees_two_threads_that_meet(tmp_path, meetings):
    image = sitk.Image(2, 2, sitk.sitkUInt8)
    at_once(*((sitk.WriteImage, image, str(tmp_path / f"{n}.png")) for n in range(2)))
    assert meetings


def test_no_two_threads_are_in_a_reader_or_writer_at_once(tmp_path, meetings):
    volume = noise(OBLIQUE, torch.Generator().manual_seed(0))
    field = DenseField(OBLIQUE, torch.zeros(3, *OBLIQUE.shape))
    files = [tmp_path / f"{n}{suffix}" for n, suffix in enumerate((".nii.gz", ".nii", ".mha", ".nrrd"))]
    at_once(
        *((write_volume, volume, file) for file in files),
        (write_transform, field, tmp_path / "t.h5"),
        (write_field, field, tmp_path / "f.nii.gz", "ants"),
        (write_pixels, tmp_path / "p.png", torch.zeros(2, 3, 3)),
    )
    dicom(tmp_path / "ct", SLICES)
    found = at_once(
        *((read, file) for file in files for read in (read_volume, read_grid, read_extent)),
        (read_pair, files[0], tmp_path / "ct"),
        *((read_extent, tmp_path / "ct") for _ in range(2)),
        (read_transform, tmp_path / "t.h5"),
    )
    assert torch.equal(found[0].data, found[3].data)
    assert not meetings


def test_warnings_of_itk_come_back_after_the_last_turn_and_after_failures():
    def shown():
        return sitk.ProcessObject.GetGlobalWarningDisplay()

    before = shown()
    with itk_alone(), itk_alone():  # a turn within a turn is the same thread's
        assert not shown()
    with pytest.raises(OSError, match=r"^out\.png: cannot be written$"), itk_writes("out.png"):
        raise RuntimeError("what ITK says")
    assert shown() == before


def test_other_threads_wait_for_their_turn_and_no_longer():
    def turn():
        with itk_alone():
            came.set()

    came, other = threading.Event(), threading.Thread(target=turn, daemon=True)
    with itk_alone():
        other.start()
        assert not came.wait(0.05)
    assert came.wait(10)
