"""DICOM folders that are damaged or mixed: refused in one line, and never a word of what their tags say of a person."""

import gzip
import struct

import pytest
import SimpleITK as sitk
from support.damage import Damage, nifti
from support.dicom import NOT_TO_BE_TOLD, PERSON, SLICES, dicom, dicom_of
from support.program import refused

from graphreg.cli import main

POSITION, ORIENTATION, SPACING = (0x20, 0x32), (0x20, 0x37), (0x28, 0x30)
INTERCEPT, SLOPE, ROWS, COLUMNS, BITS = (0x28, 0x1052), (0x28, 0x1053), (0x28, 0x10), (0x28, 0x11), (0x28, 0x100)


def slices(folder):
    return sorted((folder / "ct").iterdir())


def changed(tag, value, which=range(5)):
    """Writes another value over that of a tag, in some slices; its length stays."""

    def make(folder):
        dicom(folder / "ct", SLICES)
        for path in [slices(folder)[k] for k in which]:
            content = bytearray(path.read_bytes())
            at = content.index(struct.pack("<2H", *tag))
            (length,) = struct.unpack_from("<I", content, at + 4)
            content[at + 8 : at + 8 + length] = value.ljust(length)[:length]
            path.write_bytes(content)

    return make


def without(tag):
    """Takes a tag out of every slice."""

    def make(folder):
        dicom(folder / "ct", SLICES)
        for path in slices(folder):
            content = path.read_bytes()
            at = content.index(struct.pack("<2H", *tag))
            (length,) = struct.unpack_from("<I", content, at + 4)
            path.write_bytes(content[:at] + content[at + 8 + length :])

    return make


def spoilt(change, number=2):
    """Changes the bytes of one slice."""

    def make(folder):
        dicom(folder / "ct", SLICES)
        path = slices(folder)[number]
        path.write_bytes(change(path.read_bytes()))

    return make


def stacked(*series, more=lambda folder: None):
    """Writes slices."""

    def make(folder):
        for one in series:
            dicom(folder / "ct", **({"array": SLICES} | one))
        more(folder)

    return make


def doubled(folder):
    path = slices(folder)[2]
    (path.parent / "again.dcm").write_bytes(path.read_bytes())


def mixed(folder):
    dicom(folder / "ct", SLICES[:2, :5])  # two of five slices, smaller


def junk(folder):
    (folder / "ct").mkdir(exist_ok=True)
    (folder / "ct" / "notes.txt").write_text(PERSON)
    (folder / "ct" / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + PERSON.encode())
    (folder / "ct" / "film.png").write_bytes(b"\x89PNG")
    (folder / "ct" / "more").mkdir()


EVEN, SERIES, VOLUME = "evenly stacked slices", "one DICOM series needed", "one orientation, spacing and size"
DAMAGED = {
    "two series": Damage(stacked({}, {"uid": "1.2.826.2"}), f"{SERIES}, 2 series found"),
    "three series": Damage(stacked({}, {"uid": "1.2.826.2"}, {"uid": "1.2.826.3"}), "3 series found"),
    **{f"slice {k} missing": Damage(stacked({"skip": (k,)}), EVEN) for k in (1, 3)},
    "slice 2 missing": Damage(stacked({"skip": (2,)}), "slice 2 of 4 lying 0.83 mm beside its place found"),
    "two slices missing": Damage(stacked({"skip": (1, 4)}), "needed"),
    "one slice": Damage(stacked({"array": SLICES[:1]}), "7 x 6 x 1 voxels found"),
    "a slice twice": Damage(stacked({}, more=doubled), EVEN),
    **{f"tilted by {mm} mm": Damage(stacked({"shear_mm": mm}), EVEN) for mm in (0.3, -0.5, 2.0)},
    "tilted": Damage(stacked({"shear_mm": 0.5}), "slice 2 of 5 lying 0.50 mm beside its place found"),
    "slices of two sizes": Damage(stacked({}, more=mixed), VOLUME),
    "an empty folder": Damage(lambda folder: (folder / "ct").mkdir(), "no series found"),
    "junk alone": Damage(junk, "no series found"),
    "a slice at another place": Damage(changed(POSITION, b"-10\\-20\\-21", [2]), EVEN),
    "a slice shifted": Damage(changed(POSITION, b"-11\\-20\\-25", [2]), EVEN),
    "a position that is text": Damage(changed(POSITION, PERSON.encode(), [2]), "a position of 3 numbers"),
    "a position that is NaN": Damage(changed(POSITION, b"nan\\0\\0", [2]), "a position of 3 numbers"),
    "positions of two numbers": Damage(changed(POSITION, b"0\\0"), "needed"),
    "no positions": Damage(without(POSITION), "needed"),
    "another orientation": Damage(changed(ORIENTATION, b"0\\1\\0\\1\\0\\0", [2]), VOLUME),
    "the first turned": Damage(changed(ORIENTATION, b"0\\1\\0\\1\\0\\0", [0]), "needed"),
    "the last turned": Damage(changed(ORIENTATION, b"0\\1\\0\\1\\0\\0", [4]), "needed"),
    "an orientation of zeros": Damage(changed(ORIENTATION, b"0\\0\\0\\0\\0\\0"), "right angles"),
    "an orientation that is skew": Damage(changed(ORIENTATION, b"1\\0\\0\\1\\0\\0"), "needed"),
    "an orientation that is text": Damage(changed(ORIENTATION, PERSON.encode()), "an orientation of 6 numbers"),
    "no orientations": Damage(without(ORIENTATION), "an orientation of 6 numbers"),
    **{
        f"pixel spacing {value!r}": Damage(changed(SPACING, value), "a pixel spacing")
        for value in (b"0\\0.7", b"-1\\1", b"nan\\1", b"inf\\1", b"a\\b", b"0.7", b"", b"Secret")
    },
    "another spacing in one slice": Damage(changed(SPACING, b".9\\.9", [2]), VOLUME),
    "a spacing of metres": Damage(changed(SPACING, b"7e5\\5"), "a spacing of 0.01 to 100 mm"),
    "a spacing of nanometres": Damage(changed(SPACING, b"7e-6\\7"), "needed"),
    "no pixel spacing": Damage(without(SPACING), "a pixel spacing"),
    **{f"rescale slope {value!r}": Damage(changed(SLOPE, value), "a rescale slope") for value in (b"x", b"0", b"")},
    **{
        f"rescale intercept {value!r}": Damage(changed(INTERCEPT, value), "a rescale intercept")
        for value in (b"xxxx", b"nan", b"")
    },
    "an infinite rescale intercept": Damage(changed(INTERCEPT, b"9e99"), "an image of finite values"),
    "too many rows": Damage(changed(ROWS, struct.pack("<H", 60000)), "needed"),
    "too many columns": Damage(changed(COLUMNS, struct.pack("<H", 65535)), "needed"),
    "rows and columns of gigabytes": Damage(
        lambda folder: (
            changed(ROWS, struct.pack("<H", 65535))(folder),
            [
                path.write_bytes(path.read_bytes().replace(*(struct.pack("<2HIH", *COLUMNS, 2, n) for n in (7, 65535))))
                for path in slices(folder)
            ],
        ),
        "a smaller file found",
    ),
    "no rows": Damage(changed(ROWS, struct.pack("<H", 0)), "needed"),
    "32 bits": Damage(changed(BITS, struct.pack("<H", 32)), "needed"),
    **{f"a slice cut to {n} bytes": Damage(spoilt(lambda b, n=n: b[:n]), "needed") for n in (0, 1, 131, 140, 300, 500)},
    "a slice without its last bytes": Damage(spoilt(lambda b: b[:-30]), "needed"),
    "a slice of text": Damage(spoilt(lambda b: PERSON.encode() * 50), EVEN),
    "an unknown syntax": Damage(spoilt(lambda b: b.replace(b"1.2.840.10008.1.2\0", b"1.2.840.10008.9.9\0")), "needed"),
    "no slice is DICOM": Damage(lambda folder: (junk(folder), (folder / "ct" / "a.dcm").write_bytes(b"x")), SERIES),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_series_is_one_line_without_a_name(here, capfd, case):
    (here / "plain.nii").write_bytes(nifti())
    DAMAGED[case].make(here)
    err = refused(here, ["register", "plain.nii", "ct", "-o", "out"], DAMAGED[case].told, capfd)
    assert err.startswith("graphreg: ct: ") and not [word for word in NOT_TO_BE_TOLD if word in err]


def test_many_ways_are_tried():
    assert len(DAMAGED) >= 60


def test_a_person_reaches_no_output_and_scans_without_rescaling_are_told(phantom, here, capfd):
    for name, uid in (("fixed", "1.2.826.7"), ("moving", "1.2.826.8")):
        dicom_of(here / name, sitk.ReadImage(f"{phantom}/ph/{name}.nii.gz"), uid)
    command = ["register", "fixed", "moving", "--preset", "fast", "--config", f"{phantom}/fast.toml", "--no-refinement"]
    masks = ["--fixed-mask", f"{phantom}/ph/fixed_mask.nii.gz"]
    assert main([*command, *masks, "--moving-mask", f"{phantom}/ph/moving_mask.nii.gz", "-o", "out"]) == 0
    assert main(["jacobian", "out/transform.h5", "-o", "maps", "--fixed", "fixed", *masks]) == 0
    assert main(["warp", "out/transform.h5", "moving", "--reference", "fixed", "-o", "warped.mha"]) == 0
    said = "".join(capfd.readouterr())
    written = [*(here / "out").iterdir(), *(here / "maps").iterdir(), here / "warped.mha"]
    assert len(written) > 8
    for word in NOT_TO_BE_TOLD:
        assert word not in said
        for path in written:
            content = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
            assert word.encode() not in content, path
    for path in (here / "moving").glob("*.dcm"):  # the rescale tags are lost, and with them the HU
        content = path.read_bytes()
        at = content.index(struct.pack("<2H", *INTERCEPT))
        end = content.index(struct.pack("<2H", *SLOPE))
        path.write_bytes(content[:at] + content[end + 8 + struct.unpack_from("<I", content, end + 4)[0] :])
    err = refused(here, [*command, *masks, "-o", "other"], "Air inside a chest CT in HU is about -1000", capfd)
    assert err.startswith("graphreg: moving: ") and "Secret" not in err
