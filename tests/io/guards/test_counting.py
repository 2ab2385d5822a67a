"""A file is gone through once: hashed as its voxels are counted, and known until it changes."""

import gzip
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import SimpleITK as sitk
from support.damage import HU, metaimage, nifti, nrrd, packed_metaimage, zipped

from graphreg.io import InputError, read_volume
from graphreg.io.fingerprints import fingerprint
from graphreg.io.formats import open_image
from graphreg.io.guards import counting

SOUND = {
    "a.nii": nifti(),
    "packed.nii.gz": zipped(nifti()),
    "a.mha": metaimage(),
    "packed.mha": packed_metaimage(),
    "a.nrrd": nrrd(),
    "packed.nrrd": nrrd(zipped(HU.tobytes()), encoding="gzip"),
}
BROKEN = {
    "a.nii": nifti()[:-1],
    "packed.nii.gz": zipped(nifti())[:-9],
    "a.mha": metaimage()[:-1],
    "packed.mha": packed_metaimage()[:-9],
    "a.nrrd": nrrd()[:-1],
    "packed.nrrd": nrrd(zipped(HU.tobytes())[:-9], encoding="gzip"),
}


@pytest.fixture
def swept(monkeypatch):
    """Names of the files that were counted, nothing being known at first."""
    names, count = [], counting._count

    def noted(path, *arguments):
        names.append(os.path.basename(path))
        return count(path, *arguments)

    monkeypatch.setattr(counting, "_sound", {})
    monkeypatch.setattr(counting, "_count", noted)
    return names


def aged(path, content=None, seconds=60):
    """The file, last changed a while ago: of what has just been written, later changes could go unseen."""
    if content is not None:
        path.write_bytes(content)
    changed = os.stat(path).st_mtime - seconds
    os.utime(path, (changed, changed))
    return path


@pytest.mark.parametrize("name", SOUND)
def test_the_sweep_that_counts_gives_the_sha256_of_the_whole_file_and_is_the_only_one(tmp_path, swept, name):
    path = aged(tmp_path / name, SOUND[name])
    for _ in range(2):
        assert fingerprint(path) == hashlib.sha256(SOUND[name]).hexdigest()
        read_volume(path)
    assert swept == [name]


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_image_has_no_fingerprint_but_the_line_that_reading_it_has(tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name])
    lines = []
    for read in (fingerprint, read_volume):
        with pytest.raises(InputError) as error:
            read(tmp_path / name)
        lines.append(str(error.value))
    assert lines[0] == lines[1] and lines[0].startswith(f"{tmp_path / name}: ") and "needed, " in lines[0]


def test_reading_first_spares_the_fingerprint_the_count_too(tmp_path, swept):
    path = aged(tmp_path / "packed.nii.gz", SOUND["packed.nii.gz"])
    read_volume(path)
    assert fingerprint(path) == hashlib.sha256(SOUND["packed.nii.gz"]).hexdigest()
    assert swept == ["packed.nii.gz"]


def test_a_file_that_changed_is_counted_again(tmp_path, swept):
    path = aged(tmp_path / "a.nii", SOUND["a.nii"])
    read_volume(path)
    aged(path, SOUND["a.nii"], 30)  # as large as before
    read_volume(path)
    assert swept == ["a.nii"] * 2
    aged(path, BROKEN["a.nii"])
    with pytest.raises(InputError, match="cut short"):
        open_image(path)


def test_a_file_in_place_of_another_with_its_size_and_time_is_counted_again(tmp_path, swept):
    path, other = (aged(tmp_path / name, SOUND["a.nii"]) for name in ("a.nii", "b.nii"))
    times = os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns
    read_volume(path)
    os.utime(other, ns=times)
    os.replace(other, path)
    read_volume(path)
    assert swept == ["a.nii"] * 2


def test_what_was_written_this_moment_is_not_remembered(tmp_path, swept):
    (tmp_path / "a.nii").write_bytes(SOUND["a.nii"])
    for _ in range(2):
        read_volume(tmp_path / "a.nii")
    assert swept == ["a.nii"] * 2


def test_a_header_that_claims_something_else_of_the_same_voxels_is_counted_again(tmp_path, swept):
    aged(tmp_path / "a.raw", HU.tobytes())
    (tmp_path / "a.mhd").write_bytes(metaimage(ElementDataFile="a.raw"))
    read_volume(tmp_path / "a.mhd")
    fingerprint(tmp_path / "a.mhd")
    assert swept == ["a.mhd"]
    (tmp_path / "a.mhd").write_bytes(metaimage(ElementDataFile="a.raw", ElementType="MET_FLOAT"))
    with pytest.raises(InputError, match="cut short"):
        fingerprint(tmp_path / "a.mhd")


def test_links_to_one_file_are_one(tmp_path, swept):
    path = aged(tmp_path / "a.nii", SOUND["a.nii"])
    (tmp_path / "b.nii").symlink_to(path)
    assert fingerprint(path) == fingerprint(tmp_path / "b.nii")
    assert swept == ["a.nii"]


def test_only_so_many_files_are_remembered(tmp_path, swept, monkeypatch):
    monkeypatch.setattr(counting, "KEPT", 2)
    paths = [aged(tmp_path / f"{n}.nii", SOUND["a.nii"]) for n in range(3)]
    for path in (*paths, *reversed(paths)):
        fingerprint(path)
    assert swept == ["0.nii", "1.nii", "2.nii", "0.nii"]


def test_many_threads_find_the_same(tmp_path, swept):
    paths = [aged(tmp_path / name, content) for name, content in SOUND.items()] * 8
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(fingerprint, paths))
        volumes = list(pool.map(read_volume, paths))
    assert found == [hashlib.sha256(content).hexdigest() for content in SOUND.values()] * 8
    assert all(volume.data.sum() == volumes[0].data.sum() for volume in volumes)


def test_raw_voxels_without_a_header_are_hashed_as_they_are(tmp_path, swept):
    (tmp_path / "case1_T00.img").write_bytes(b"voxels of a data set")
    assert fingerprint(tmp_path / "case1_T00.img") == hashlib.sha256(b"voxels of a data set").hexdigest()
    assert not swept


@pytest.mark.parametrize("size", [1, 1 << 20, (1 << 20) + 1, 5 << 20])
@pytest.mark.parametrize("ends", [b"", b"\0" * 7, b"\0" * (3 << 20)])
def test_gzip_in_pieces_with_zeros_between_and_after_is_whole(tmp_path, monkeypatch, size, ends):
    parts = [bytes(range(256)) * (size // 256) + bytes(size % 256), os.urandom(1000)]
    (tmp_path / "a.gz").write_bytes(b"".join(gzip.compress(part, 1) + ends for part in parts))
    claim = counting.Claim(tmp_path / "a.gz", 0, size + 1000, packed=True)
    counting.require_bytes("a.gz", claim)
    with pytest.raises(InputError, match=f"{size + 1001} bytes of voxels needed, {size + 1000}: "):
        counting.require_bytes("a.gz", claim._replace(need=size + 1001))


def test_a_file_read_once_is_the_one_that_itk_reads(tmp_path, swept):
    path = aged(tmp_path / "packed.nii.gz", SOUND["packed.nii.gz"])
    fingerprint(path)
    assert (read_volume(path).data.numpy() == sitk.GetArrayFromImage(sitk.ReadImage(str(path)))).all()
