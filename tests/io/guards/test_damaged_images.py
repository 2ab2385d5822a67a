"""Images that are damaged, mistaken or hostile: one line and exit code 2, or the right voxels in the right place."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.damage import (
    AFFINE,
    HU,
    INF,
    NAN,
    ORIGIN,
    SIZE,
    SPACING,
    Damage,
    cuts,
    flips,
    metaimage,
    nifti,
    nrrd,
    packed_metaimage,
    saved,
    writes,
    zipped,
)
from support.program import one_line, only_doubts, program, refused

from graphreg.cli import main
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField
from graphreg.io import read_landmarks, read_transform, write_transform

CUT = "cut short or damaged"
GZ = zipped(nifti())
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0"


def bad(suffix, content, told):
    return Damage(writes(f"bad.{suffix}", content), told)


def words(values):
    return " ".join(f"{value:g}" for value in values)


def spacings():
    """Every axis of every format with what no spacing can be."""
    for axis in range(3):
        for value in (0.0, -1.0, NAN, INF, 1e-6, 1e6):
            wrong, rows = [*SPACING], [*AFFINE]
            wrong[axis] = value
            rows[5 * axis] *= value / SPACING[axis]
            told = {1e-6: "spacing of 0.01 to 100 mm", 1e6: "an affine of numbers"}.get(value, "a spacing above 0")
            fields = {"pixdim": (1, *wrong, 1, 1, 1, 1), "srow": rows}
            yield f"NIfTI, spacing {axis} of {value}", bad("nii", nifti(**fields), told)
            told = "spacing of 0.01 to 100 mm" if value in (1e-6, 1e6) else "ElementSpacing"
            yield f"MetaImage, spacing {axis} of {value}", bad("mha", metaimage(ElementSpacing=words(wrong)), told)
            vectors = "({:g},0,0) (0,{:g},0) (0,0,{:g})".format(*wrong)
            if value != -1:  # a direction turned round, which is fine
                told = "needed"
                yield f"NRRD, spacing {axis} of {value}", bad("nrrd", nrrd(space_directions=vectors), told)


def header_fields():
    """NIfTI: fields by the name of the header's documentation."""
    for axis in range(1, 4):
        for value, told in ((0, "positive sizes"), (-5, "positive sizes"), (1, "a 3-D image needed"), (32767, CUT)):
            dim = [3, *SIZE, 1, 1, 1, 1]
            dim[axis] = value
            yield f"dim[{axis}] {value}", bad("nii", nifti(dim=dim), told)
    for axes, told in ((0, "positive sizes"), (-1, "positive sizes"), (8, "positive sizes"), (2, "a 2-D image")):
        yield f"dim[0] {axes}", bad("nii", nifti(dim=(axes, *SIZE, 1, 1, 1, 1)), told)


def voxel_fields():
    """NIfTI: how many voxels, of which type, and where."""
    yield "70 terabytes", bad("nii", nifti(dim=(3, 32767, 32767, 32767, 1, 1, 1, 1)), CUT)
    yield "70 terabytes, gz", bad("nii.gz", zipped(nifti(dim=(3, *[32767] * 3, 1, 1, 1, 1))), CUT)
    yield "5-D", bad("nii", nifti(HU.tobytes() * 3, dim=(5, *SIZE, 1, 3, 1, 1)), "found")
    for kind, bits in ((0, 16), (1, 1), (9999, 16), (1536, 128), (2048, 256), (4, 8), (4, 32), (4, -16)):
        content = nifti(datatype=(kind,), bitpix=(bits,))
        yield f"datatype {kind} of {bits}", bad("nii", content, "a known type of voxels needed")
    for kind, bits, what in ((32, 64, "complex"), (1792, 128, "complex double"), (128, 24, "RGB"), (2304, 32, "RGBA")):
        content = nifti(bytes(HU.size * bits // 8), datatype=(kind,), bitpix=(bits,))
        yield what, bad("nii", content, "one value per voxel needed")
    for start, told in (
        *((value, "a place of the voxels") for value in (NAN, INF, -1.0, 352.5)),
        *((value, "voxels after the header") for value in (0.0, 100.0)),
        (1e9, CUT),
    ):
        yield f"vox_offset {start}", bad("nii", nifti(vox_offset=(start,)), told)
    for name, value, told in (
        *((name, value, "finite scaling") for name in ("scl_slope", "scl_inter") for value in (INF, -INF)),
        ("sizeof_hdr", 0, "a NIfTI header needed"),
        ("sizeof_hdr", 349, "a NIfTI header needed"),
        ("magic", b"xxxx", "the mark n+1 needed"),
        ("magic", b"ni1\0", "the mark n+1 needed"),
        ("xyzt_units", 1, "a spacing of 0.01 to 100 mm needed"),
        ("xyzt_units", 3, "a spacing of 0.01 to 100 mm needed"),
    ):
        yield f"{name} {value!r}", bad("nii", nifti(**{name: (value,)}), told)


def affines():
    """NIfTI: where the voxels sit."""
    for what, row, told in (
        ("zero", (0,) * 12, "as long as the spacing"),
        ("NaN", (NAN, *AFFINE[1:]), "an affine of numbers"),
        ("infinite", (*AFFINE[:3], INF, *AFFINE[4:]), "an affine of numbers"),
        ("far away", (*AFFINE[:3], 1e30, *AFFINE[4:]), "an affine of numbers"),
        ("singular", (1.5, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 0), "right angles"),
        ("sheared", (-1.5, 0.4, 0, 0, 0, -1.96, 0, 0, 0, 0, 3, 0), "right angles"),
        ("three times the spacing", tuple(3 * a for a in AFFINE), "as long as the spacing"),
    ):
        yield f"affine {what}", bad("nii", nifti(srow=row), told)
    turned = {"sform_code": (0,), "qform_code": (1,), "quatern": (NAN, 0, 0, 0, 0, 0)}
    yield "quaternion NaN", bad("nii", nifti(**turned), "a finite quaternion")


def metaimages():
    """MetaImage: fields that are missing, of the wrong length, or lead elsewhere."""
    for name, told in (
        ("NDims", "NDims"),
        ("DimSize", "DimSize"),
        ("ElementType", "ElementType"),
        ("ElementSpacing", "ElementSpacing"),
        ("ElementDataFile", "a MetaImage header"),
    ):
        yield f"no {name}", bad("mha", metaimage(without=(name,)), told)
    for name, value, told in (
        *(("NDims", value, "NDims") for value in ("99", "0", "-1", "x", "3.5", "6", "1e9")),
        *(("DimSize", value, "DimSize") for value in ("0 7 6", "-8 7 6", "8 7", "8 7 x", "8.5 7 6", "", "nan 7 6")),
        *(("DimSize", value, CUT) for value in ("400000 300000 200000", "8 7 7", f"{10**20} {10**20} 9")),
        *(("ElementSpacing", value, "ElementSpacing") for value in ("1 1", "a b c", "1,2,3", "", "1 1 1 1")),
        *(("Offset", value, "Offset of 3") for value in ("nan 0 0", "0 inf 0", "", "0 0")),
        ("Offset", "1e30 0 0", "an origin within"),
        *(("TransformMatrix", f"{a} 0 0 0 1 0 0 0 1", "orthonormal") for a in ("0", "2", "1.1")),
        ("TransformMatrix", "1 0 0 0 1 0", "TransformMatrix of 9"),
        ("TransformMatrix", "nan 0 0 0 1 0 0 0 1", "TransformMatrix of 9"),
        ("CenterOfRotation", "0 0", "CenterOfRotation of 3"),
        *(("ElementType", value, "an ElementType of") for value in ("MET_BAD", "MET_STRING", "MET_SHORT_ARRAY", "")),
        *(("ElementType", value, CUT) for value in ("MET_FLOAT", "MET_DOUBLE", "MET_LONG_LONG")),
        *(("ElementNumberOfChannels", value, "NumberOfChannels") for value in ("0", "-1", "x")),
        ("ElementNumberOfChannels", "3", CUT),
        ("BinaryData", "False", "binary voxels"),
        ("HeaderSize", "1000000", "binary voxels"),
        ("CompressedData", "True", "CompressedDataSize"),
        *(
            ("ElementDataFile", value, "the voxels in")
            for value in ("none.raw", "LIST", "ct%d.nii 1 6 1", "folder", "..")
        ),
        *(
            ("ElementDataFile", value, "voxels in one file beside the header needed")
            for value in ("", "/etc/passwd", "/dev/zero", "../ct.raw", "sub/ct.raw", "bad.mhd", ".")
        ),
    ):
        suffix = "mhd" if name == "ElementDataFile" else "mha"
        fields = {key: v for key, v in {"ElementDataFile": None, name: value}.items() if v is not None}
        yield f"{name} = {value}", bad(suffix, metaimage(**fields), told)
    yield "NDims last", bad("mha", b"DimSize = 8 7 6\n" + metaimage(without=("DimSize",)), "NDims")
    yield "NDims twice", bad("mha", b"NDims = 2\n" + metaimage(), "a MetaImage header")
    yield "a name without end", bad("mha", b"N" * 70000, "a MetaImage header")
    yield "a value without end", bad("mha", b"Comment = " + b"N" * 5000 + b"\n" + metaimage(), "header")
    packed = packed_metaimage()
    yield (
        "packed, wrong size told",
        bad("mha", packed.replace(b"DataSize = ", b"DataSize = 1"), "bytes of packed voxels needed"),
    )
    start = packed.index(b"LOCAL\n") + 6
    yield from flips("bad.mha", packed, range(start, len(packed), 97), CUT)
    yield from cuts("bad.mha", packed, range(0, len(packed), 150), "needed")
    values = np.full(HU.shape, -500, "<f4")
    for wrong in (NAN, INF):
        values[1, 2, 3] = wrong
        yield (
            f"MetaImage, voxel {wrong}",
            bad("mha", metaimage(values.tobytes(), ElementType="MET_FLOAT"), "finite values needed"),
        )


def nrrds():
    """NRRD: the same."""
    for name in ("type", "dimension", "sizes", "encoding", "endian", "space directions"):
        yield f"NRRD without {name}", bad("nrrd", nrrd(without=(name,)), name)
    for name, value, told in (
        *(("type", value, "voxels of a type") for value in ("bad", "block", "")),
        *(("type", value, CUT) for value in ("float", "double", "int64")),
        *(("dimension", value, "dimension") for value in ("0", "-1", "x", "17", "2.5")),
        *(("sizes", value, "sizes") for value in ("0 7 6", "-8 7 6", "8 7", "x", "8 7 nan")),
        *(("sizes", value, CUT) for value in ("40000 30000 20000", "8 7 7", f"{10**20} {10**20} 9")),
        *(("encoding", value, "as encoding") for value in ("bz2", "hex", "txt", "bad")),
        ("encoding", "gzip", CUT),
        ("endian", "middle", "endian"),
        *(("space", value, "a space of") for value in ("scanner-xyz", "left-posterior-superior-time", "foo")),
        ("space_units", '"m" "m" "m"', "space units of mm"),
        ("space_directions", "none (0,2,0) (0,0,3)", "space directions of 3 axes"),
        ("space_directions", "(1,0,0) (0,2,0)", "space directions of 3 axes"),
        ("space_directions", "(1,0,0) (1,0,0) (0,0,3)", "orthonormal"),
        ("space_directions", "(1,.5,0) (0,2,0) (0,0,3)", "orthonormal"),
        ("space_directions", "(1,0) (0,2) (0,3)", "space directions of 3 numbers"),
        ("space_directions", "x", "space directions of 3 numbers"),
        *(("space_origin", value, "space origin of 3") for value in ("(nan,0,0)", "(0,0)", "x")),
        ("space_origin", "(1e30,0,0)", "an origin within"),
        ("byte_skip", "-1", "voxels right after the header"),
        ("line_skip", "3", "voxels right after the header"),
        *(("data_file", value, "the voxels in") for value in ("none.raw", "LIST", "ct%d.raw 1 6 1")),
        *(
            ("data_file", value, "voxels in one file beside the header needed")
            for value in ("", "/etc/passwd", "/dev/zero", "../ct.raw", "bad.nhdr")
        ),
    ):
        suffix = "nhdr" if name == "data_file" else "nrrd"
        yield f"{name}: {value}", bad(suffix, nrrd(**{name: value}), told)
    for spacing in ("1 2 nan", "1 2 -3", "1 2 0", "1 2"):
        content = nrrd(without=("space directions", "space origin", "space"), spacings=spacing)
        yield f"spacings {spacing}", bad("nrrd", content, "spacings")
    yield "NRRD mark", bad("nrrd", nrrd(mark="NRRD0009"), "an NRRD header")
    yield "NRRD, two sizes", bad("nrrd", nrrd(mark="NRRD0004\nsizes: 9 9 9"), "an NRRD header")
    packed = nrrd(zipped(HU.tobytes()), encoding="gzip")
    yield from flips("bad.nrrd", packed, range(packed.index(b"\n\n") + 12, len(packed), 97), CUT)
    yield from cuts("bad.nrrd", packed, range(0, len(packed), 150), "needed")


def contents():
    """Files that are something else, or a part of what they were."""
    yield from cuts("bad.nii", nifti(), range(0, len(nifti()), 60), "needed")
    yield from cuts("bad.nii.gz", GZ, range(0, len(GZ), 25), "needed")
    yield from flips("bad.nii.gz", GZ, range(10, len(GZ), 25), "needed")  # before stand time and system
    sound = {"nii": nifti(), "nii.gz": GZ, "mha": metaimage(), "nrrd": nrrd(), "png": PNG, "txt": b"no image"}
    for kind, content in sound.items():
        for suffix in ("nii", "nii.gz", "mha", "mhd", "nrrd", "nhdr"):
            fine = kind == suffix or (kind, suffix) in (("mha", "mhd"), ("nrrd", "nhdr"))
            if not fine:
                yield f"{kind} called {suffix}", bad(suffix, content, "needed")
    for suffix in ("tif", "vtk", "dcm", "h5", "png", "gz", "img", "hdr"):
        yield f"called {suffix}", bad(suffix, nifti(), "needed")
    yield "text, gz", bad("nii.gz", b"no image", f"a file that is {CUT} found")
    yield "an empty MetaImage", bad("mha", b"", "another one or a part of one found")
    yield "a short NIfTI, gz", bad("nii.gz", zipped(b"short"), "a NIfTI header needed, another one or none found")
    yield (
        "a part of the voxels",
        bad("nii", nifti()[:500], f"672 bytes of voxels needed, 148: a file that is {CUT} found"),
    )
    twin = "no bad.nii in the same folder, whose voxels SimpleITK would take, needed, one found"
    yield (
        "a twin",
        Damage(lambda folder: [writes(f"bad.{s}", c)(folder) for s, c in sound.items()], twin, ("bad.nii.gz",)),
    )
    yield "a folder", Damage(lambda folder: (folder / "bad.nii.gz").mkdir(), "no series found")
    yield "nothing", Damage(lambda folder: None, "nothing found", ("missing.nii",))
    yield "a name too long", Damage(lambda folder: None, "file name too long", ("a" * 300 + ".nii",))


def voxels():
    """Voxels that are no numbers, or no scan."""
    for dtype, kind, bits in (("<f4", 16, 32), ("<f8", 64, 64)):
        for value in (NAN, INF, -INF):
            voxels = np.full(HU.shape, -500, dtype)
            voxels[1, 2, 3] = value
            content = nifti(voxels.tobytes(), datatype=(kind,), bitpix=(bits,))
            yield f"voxel {value} of {dtype}", bad("nii", content, "finite values needed")
    yield (
        "one value",
        bad("nii", nifti(bytes(2 * HU.size)), "an image with contrast needed, the value 0 at every voxel found"),
    )
    for what, array, vector, told in (
        ("4-D", np.zeros((2, 6, 7, 8)), False, "a 4-D image of 8 x 7 x 6 x 2 voxels found"),
        ("2-D", np.eye(9), False, "a 2-D image of 9 x 9 pixels found"),
        ("one slice", np.zeros((1, 7, 8)), False, "8 x 7 x 1 voxels found"),
        ("vectors", np.zeros((6, 7, 8, 3)), True, "3 (colours or vectors) found"),
    ):
        for suffix in ("nii.gz", "mha", "nrrd"):
            make = lambda folder, a=array, v=vector, s=suffix: saved(a, v)(folder / f"bad.{s}")  # noqa: E731  # binds what the loop holds
            yield f"{what}, {suffix}", Damage(make, told)


DAMAGED = dict(
    [*spacings(), *header_fields(), *voxel_fields(), *affines(), *metaimages(), *nrrds(), *contents(), *voxels()]
)


def test_many_ways_are_tried():
    assert len(DAMAGED) >= 390


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_image_is_one_line_and_nothing_is_left(here, capfd, case):
    damage = DAMAGED[case]
    (here / "ct.nii").write_bytes(nifti())
    damage.make(here)
    (name,) = damage.arguments or [path.name for path in here.iterdir() if path.name != "ct.nii"]
    err = refused(here, ["register", name, "ct.nii", "-o", "out"], damage.told, capfd)
    assert err.startswith(f"graphreg: {name}: ")


@pytest.mark.parametrize("case", ["NDims = 99"])
def test_a_process_of_its_own_neither_crashes_nor_complains_in_other_words(tmp_path, case):
    (tmp_path / "ct.nii").write_bytes(nifti())
    DAMAGED[case].make(tmp_path)
    (name,) = (path.name for path in tmp_path.iterdir() if path.name != "ct.nii")
    one_line(program("register", "ct.nii", name, "-o", "out", cwd=tmp_path), f"graphreg: {name}: ")
    assert not (tmp_path / "out").exists()


# hostile in ways that nobody thought of


@pytest.fixture(scope="module")
def warping(tmp_path_factory):
    """A folder with a sound image and a transform, and what is warped where."""
    folder = tmp_path_factory.mktemp("warping")
    grid = Grid(SIZE[::-1], SPACING, ORIGIN)
    write_transform(DenseField(grid, torch.zeros(3, *grid.shape)), folder / "still.h5")
    return folder


def warp(folder, name, capfd):
    """Exit code and stderr of bringing an image onto its own grid, which reads all of it; nothing is left."""
    out = folder / "out.nrrd"
    out.unlink(missing_ok=True)
    code = main(["warp", f"{folder}/still.h5", f"{folder}/{name}", "--reference", f"{folder}/{name}", "-o", str(out)])
    err = capfd.readouterr().err
    assert out.exists() == (code == 0)
    return code, err


CONTAINERS = {
    "any.nii": nifti(),
    "any.nii.gz": GZ,
    "any.mha": metaimage(),
    "packed.mha": packed_metaimage(),
    "any.nrrd": nrrd(),
    "packed.nrrd": nrrd(zipped(HU.tobytes()), encoding="gzip"),
}
changes = st.lists(st.tuples(st.integers(0, 999), st.integers(1, 255)), min_size=1, max_size=4)


@pytest.mark.parametrize("name", CONTAINERS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=changes, end=st.integers(0, 2000))
def test_whatever_bytes_are_changed_a_file_is_read_or_refused(warping, capfd, name, changes, end):
    content = bytearray(CONTAINERS[name])
    for at, mask in changes:
        content[at % len(content)] ^= mask
    (warping / name).write_bytes(content if end % 3 else content[:end])
    code, err = warp(warping, name, capfd)
    assert code in (0, 2)
    if code == 2:
        assert err.startswith("graphreg: ") and err.count("\n") == 1


# fine, however odd

PLAIN = {
    "left-handed": ("a.nii", nifti(srow=(-1.5, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0))),
    "big-endian": ("a.nii", nifti(HU.astype(">i2").tobytes(), ">")),
    "no scaling told": ("a.nii", nifti(scl_slope=(NAN,), scl_inter=(NAN,))),
    "no affine": ("a.nii", nifti(sform_code=(0,))),
    "more bytes than voxels": ("a.nii", nifti(HU.tobytes() + b"more")),
    "gzip in two pieces": ("a.nii.gz", zipped(nifti()[:500]) + zipped(nifti()[500:])),
    "capitals": ("a.NII.GZ", zipped(nifti())),
    "MetaImage": ("a.mha", metaimage()),
    "MetaImage, packed": ("a.mha", packed_metaimage()),
    "MetaImage, mirrored": ("a.mha", metaimage(TransformMatrix="-1 0 0 0 1 0 0 0 1")),
    "NRRD": ("a.nrrd", nrrd()),
    "NRRD, packed": ("a.nrrd", nrrd(zipped(HU.tobytes()), encoding="gzip")),
    "NRRD, lines of Windows": ("a.nrrd", nrrd(b"").replace(b"\n", b"\r\n") + HU.tobytes()),
    "NRRD, RAS": ("a.nrrd", nrrd(space="right-anterior-superior")),
    "NRRD, no place": ("a.nrrd", nrrd(without=("space", "space directions", "space origin"), spacings="1.5 2 3")),
}


@pytest.mark.parametrize("case", PLAIN)
def test_an_odd_file_gives_its_voxels(warping, capfd, case):
    name, content = PLAIN[case]
    (warping / name).write_bytes(content)
    assert warp(warping, name, capfd)[0] == 0
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(warping / "out.nrrd"))), HU)
    (warping / name).unlink()


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", "<u2", "<i4", "<u4", "<i8", "<f4", "<f8"])
@pytest.mark.parametrize("suffix", ["nii.gz", "mha", "nrrd"])
def test_every_type_of_voxels_gives_the_same_numbers(warping, capfd, dtype, suffix):
    values = (np.abs(HU) % 100).astype(dtype)
    saved(values)(warping / f"typed.{suffix}")
    assert warp(warping, f"typed.{suffix}", capfd)[0] == 0
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(warping / "out.nrrd")))
    assert found.dtype == values.dtype.newbyteorder("=") and np.allclose(found, values, atol=1e-4)


def test_a_pair_of_header_and_voxels_is_one_image_by_either_name(warping, capfd):
    head = nifti(magic=(b"ni1\0",), vox_offset=(0,))[:348]
    (warping / "two.hdr").write_bytes(head)
    (warping / "two.img").write_bytes(HU.tobytes())
    for name in ("two.hdr", "two.img"):
        assert warp(warping, name, capfd)[0] == 0
        assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(warping / "out.nrrd"))), HU)
    (warping / "two.img").write_bytes(HU.tobytes()[:-1])
    assert warp(warping, "two.hdr", capfd)[0] == 2
    (warping / "two.img").unlink()
    assert warp(warping, "two.hdr", capfd)[0] == 2


# masks, and intensities that are no HU


def like(path, array, name):
    """An array as an image on the grid of another."""
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(sitk.ReadImage(str(path)))
    sitk.WriteImage(image, name)


SCALED = {
    "0 to 1": lambda hu: (hu.clip(-1000, 1000) + 1000) / 2000,
    "0 to 255": lambda hu: ((hu.clip(-1000, 1000) + 1000) / 8).astype(np.uint8),
    "0 to 4095": lambda hu: (hu + 1024).clip(0, 4095).astype(np.uint16),
    "0 to 4095, padded": lambda hu: np.where(hu < -980, -2048, hu + 1024).astype(np.int16),
    "standardised": lambda hu: ((hu + 400) / 500).astype(np.float32),
    "offset twice": lambda hu: (hu - 3000).astype(np.int16),
}


@pytest.mark.parametrize(
    ("scale", "masked"), [*((scale, True) for scale in SCALED), ("0 to 1", False), ("0 to 4095", False)]
)
def test_intensities_that_are_no_hu_are_told_with_what_air_is(phantom, tmp_path, monkeypatch, capfd, scale, masked):
    monkeypatch.chdir(phantom)
    hu = sitk.GetArrayFromImage(sitk.ReadImage("ph/moving.nii.gz")).astype(np.float32)
    like("ph/moving.nii.gz", SCALED[scale](hu), f"{tmp_path}/scaled.nii.gz")
    masks = ["--fixed-mask", "ph/fixed_mask.nii.gz", "--moving-mask", "ph/moving_mask.nii.gz"] if masked else []
    arguments = ["register", "ph/fixed.nii.gz", f"{tmp_path}/scaled.nii.gz", *masks, "-o", f"{tmp_path}/out"]
    err = refused(tmp_path, arguments, "Air inside a chest CT in HU is about -1000", capfd)
    assert err.startswith(f"graphreg: {tmp_path}/scaled.nii.gz: ")


MASKS = {
    "all ones": (lambda mask: np.ones_like(mask), "one that is set everywhere found"),
    "empty": (lambda mask: np.zeros_like(mask), "an empty mask found"),
    "NaN": (lambda mask: np.where(mask > 0, np.nan, 0).astype(np.float32), "NaN or infinite voxels found"),
    "infinite": (lambda mask: np.where(mask > 0, np.inf, 0).astype(np.float64), "NaN or infinite voxels found"),
}


@pytest.mark.parametrize("case", MASKS)
@pytest.mark.parametrize("suffix", ["nii.gz", "mha"])
def test_a_mask_of_no_lungs_is_refused(phantom, tmp_path, monkeypatch, capfd, case, suffix):
    monkeypatch.chdir(phantom)
    change, told = MASKS[case]
    mask = sitk.GetArrayFromImage(sitk.ReadImage("ph/fixed_mask.nii.gz"))
    like("ph/fixed.nii.gz", change(mask), f"{tmp_path}/mask.{suffix}")
    arguments = ["register", "ph/fixed.nii.gz", "ph/moving.nii.gz", "--fixed-mask", f"{tmp_path}/mask.{suffix}"]
    refused(tmp_path, [*arguments, "-o", f"{tmp_path}/out"], told, capfd)


@pytest.mark.parametrize("moved", ["origin", "spacing", "direction", "size"])
def test_a_mask_on_another_grid_is_refused(phantom, tmp_path, monkeypatch, capfd, moved):
    monkeypatch.chdir(phantom)
    mask = sitk.ReadImage("ph/fixed_mask.nii.gz")
    if moved == "origin":
        mask.SetOrigin([o + 3 for o in mask.GetOrigin()])
    elif moved == "spacing":
        mask.SetSpacing([s * 1.1 for s in mask.GetSpacing()])
    elif moved == "direction":
        mask.SetDirection([-1, 0, 0, 0, -1, 0, 0, 0, 1])
    else:
        mask = mask[1:, :, :]
    sitk.WriteImage(mask, f"{tmp_path}/mask.nii.gz")
    arguments = ["register", "ph/fixed.nii.gz", "ph/moving.nii.gz", "--fixed-mask", f"{tmp_path}/mask.nii.gz"]
    refused(tmp_path, [*arguments, "-o", f"{tmp_path}/out"], "a mask on the grid of ph/fixed.nii.gz", capfd)


def mirrored(image):
    """The same voxels in the same places, stored from the left: a left-handed direction."""
    return sitk.Flip(image, [True, False, False])


@pytest.mark.parametrize("padding", [-2048, -3024])
def test_odd_but_sound_scans_are_registered(phantom, tmp_path, monkeypatch, capfd, padding):
    monkeypatch.chdir(phantom)
    fixed = sitk.ReadImage("ph/fixed.nii.gz", sitk.sitkFloat64)
    hu = sitk.GetArrayFromImage(fixed)
    hu[:, :3], hu[:, -3:], hu[:, :, :3] = padding, padding, padding  # beyond what the scanner saw
    like("ph/fixed.nii.gz", hu, f"{tmp_path}/fixed.nrrd")
    fixed = mirrored(sitk.ReadImage(f"{tmp_path}/fixed.nrrd"))
    assert np.linalg.det(np.reshape(fixed.GetDirection(), (3, 3))) == pytest.approx(-1)
    sitk.WriteImage(fixed, f"{tmp_path}/fixed.nrrd", True)
    labels = mirrored(sitk.Cast(sitk.ReadImage("ph/fixed_mask.nii.gz"), sitk.sitkFloat32) * 2.5)
    sitk.WriteImage(labels, f"{tmp_path}/labels.mha", True)
    sitk.WriteImage(sitk.ReadImage("ph/moving.nii.gz", sitk.sitkInt32), f"{tmp_path}/moving.mhd")
    arguments = ["register", f"{tmp_path}/fixed.nrrd", f"{tmp_path}/moving.mhd", "-o", f"{tmp_path}/out"]
    masks = ["--fixed-mask", f"{tmp_path}/labels.mha"] if padding == -3024 else []
    capfd.readouterr()
    assert main([*arguments, *masks, "--preset", "fast", "--config", "fast.toml", "--no-refinement"]) == 0
    assert only_doubts(capfd.readouterr().err)
    pairs = read_landmarks("ph/landmarks.csv")
    errors_mm = (read_transform(tmp_path / "out" / "transform.h5")(pairs.fixed_mm) - pairs.moving_mm).norm(dim=1)
    assert errors_mm.mean() < 4 < (pairs.fixed_mm - pairs.moving_mm).norm(dim=1).mean()
