import hashlib
import math
import os
import time
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import SimpleITK as sitk
import torch
from support.problems import OBLIQUE, noise
from support.program import RESULT, contents, load, names

from graphreg.io import InputError, read_transform
from graphreg.io.files import require_writable
from graphreg.io.fingerprints import fingerprint
from graphreg.io.guards import hdf5
from graphreg.io.json_text import write_json
from graphreg.runs import results as module
from graphreg.runs.results import is_whole, read_record, write_result

LINUX = pytest.mark.skipif(not os.path.isdir("/proc"), reason="no folder that even root cannot write")


def test_a_result_is_four_files_of_which_the_record_comes_last(tmp_path, result, monkeypatch):
    renamed = []
    replace = os.replace

    def noted(old, new):
        renamed.append(os.path.basename(new))
        replace(old, new)

    monkeypatch.setattr(os, "replace", noted)
    write_result(tmp_path / "new" / "out", *result)
    assert names(tmp_path / "new" / "out") == RESULT
    assert renamed[-4:] == ["transform.h5", "warped.nii.gz", "keypoints.csv", "registration.json"]
    assert is_whole(tmp_path / "new" / "out")
    (tmp_path / "new" / "out" / "warped.nii.gz").unlink()
    assert not is_whole(tmp_path / "new" / "out")


def test_keypoints_are_written_with_where_they_went_and_their_confidence(tmp_path, result):
    write_result(tmp_path, *result)
    header, first, *rest = (tmp_path / "keypoints.csv").read_text(encoding="utf-8").splitlines()
    x, y, z = result[2].keypoints.points_mm[0].tolist()
    assert header == "fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z,confidence"
    assert first == ",".join(f"{value:.6f}" for value in (x, y, z, x + 1, y + 1, z + 1, 0.5))
    assert len(rest) == 4


def test_two_results_of_the_same_content_have_the_same_bytes_whenever_they_are_written(tmp_path, result):
    write_result(tmp_path / "a", *result)
    time.sleep(1.1)  # HDF5 would note the second
    write_result(tmp_path / "b", *result)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    field = read_transform(tmp_path / "a" / "transform.h5")
    assert torch.equal(field.displacement_mm, result[0].displacement_mm)


def test_the_checksum_of_hdf5_is_that_of_its_author():
    # the value in the comments of Jenkins's lookup3.c
    assert hdf5._checksum(b"Four score and seven years ago") == (0x17770551).to_bytes(4, "little")


def test_times_are_cleared_in_headers_only(tmp_path):
    header = b"OHDR\x02\x20" + bytes(range(16)) + b"\x03abc"
    sound, false = header + hdf5._checksum(header), header + b"1234"
    (tmp_path / "a").write_bytes(b"before" + sound + false)
    hdf5.clear_times(tmp_path / "a")
    cleared = header[:6] + bytes(16) + header[22:]
    assert (tmp_path / "a").read_bytes() == b"before" + cleared + hdf5._checksum(cleared) + false


def test_an_earlier_result_stays_whole_where_a_new_one_cannot_be_written(tmp_path, result, monkeypatch):
    write_result(tmp_path, *result)
    before = contents(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_keypoints", full)
    with pytest.raises(OSError, match="No space"):
        write_result(tmp_path, result[0], result[1], result[2], {"b": 2})
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("stored", "size"), [("uint8", 1), ("int16", 2), (None, 4), ("float64", 8)])
def test_room_is_asked_for_the_voxels_as_they_are_stored(tmp_path, result, monkeypatch, stored, size):
    field, warped, *others = result
    needed = 3 * 8 * field.grid.voxels + size * warped.grid.voxels
    for free in (needed - 1, needed):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        with pytest.raises(OSError, match="No space") if free < needed else nullcontext():
            write_result(tmp_path, field, replace(warped, stored=stored), *others)
    assert is_whole(tmp_path)


def test_json_has_null_in_place_of_what_it_cannot_hold(tmp_path):
    write_json(tmp_path / "a.json", {"a": (math.nan, math.inf, 1.5), "b": {"c": None, "d": True}})
    assert load(tmp_path / "a.json") == {"a": [None, None, 1.5], "b": {"c": None, "d": True}}


def test_a_record_is_none_where_there_is_no_result_and_empty_where_it_is_damaged(tmp_path):
    assert read_record(tmp_path) is None
    for text in ("{", "[]", ""):
        (tmp_path / "registration.json").write_text(text)
        assert read_record(tmp_path) == {}
    (tmp_path / "registration.json").write_text('{"seed": 3}')
    assert read_record(tmp_path) == {"seed": 3}


def test_the_fingerprint_of_a_file_is_its_sha256_whatever_its_name_and_that_of_a_folder_of_its_files_alone(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(b"points")
    assert fingerprint(tmp_path / "a.csv") == hashlib.sha256(b"points").hexdigest()
    assert fingerprint(tmp_path / "a.csv") == fingerprint(tmp_path / "b.csv")
    for folder, letters in (("one", "ab"), ("two", "xc")):
        (tmp_path / folder).mkdir()
        for name, content in zip(letters, (b"1", b"2"), strict=True):
            (tmp_path / folder / name).write_bytes(content)
    (tmp_path / "one" / ".DS_Store").write_bytes(b"of the file manager")
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")
    (tmp_path / "two" / "c").write_bytes(b"3")
    assert fingerprint(tmp_path / "one") != fingerprint(tmp_path / "two")
    with pytest.raises(InputError, match=r"ct\.nii: .* needed, nothing found"):
        fingerprint(tmp_path / "ct.nii")


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.hdr"])
def test_the_fingerprint_of_a_header_changes_with_the_voxels_beside_it(tmp_path, name, generator):
    image = sitk.GetImageFromArray(noise(OBLIQUE, generator).data.numpy())
    sitk.WriteImage(image, str(tmp_path / name))
    before, header = fingerprint(tmp_path / name), (tmp_path / name).read_bytes()
    sitk.WriteImage(image + 1, str(tmp_path / name))
    assert (tmp_path / name).read_bytes() == header
    assert fingerprint(tmp_path / name) != before


def test_asking_whether_something_can_be_written_leaves_nothing_behind(tmp_path):
    require_writable(tmp_path / "a" / "b", folder=True)
    require_writable(tmp_path / "a" / "b.csv")
    require_writable(tmp_path, folder=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "folder", "found"),
    [
        ("file", True, "a folder to write to needed, a file found"),
        (".", False, "a file to write to needed, a folder found"),
        ("file/out", True, "a place in a folder needed, the file .*file found"),
        pytest.param("/proc/out", True, "a place that can be written needed, /proc: .* found", marks=LINUX),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(tmp_path, path, folder, found):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=found):
        require_writable(tmp_path / path, folder=folder)
