"""NIfTI (.nii, .nii.gz, and pairs .hdr, .img) before SimpleITK reads it.

Its reader fills missing bytes with zeros, turns NaN into 0, takes 1 mm for a spacing that is no number, turns the
axis of a negative one round, and for a.nii.gz takes the voxels of an a.nii beside it.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from graphreg.core.errors import PathInput, unsuitable
from graphreg.io.guards.counting import Claim
from graphreg.io.guards.headers import ORIGIN_MM

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")
FLOATS = {16: "f4", 64: "f8"}  # NIfTI datatype -> numpy
BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 1792: 16, 2304: 4}
ONE, PAIR = (b"n+1", b"n+2"), (b"ni1", b"ni2")  # marks of a file with its voxels and of one without
SLACK = 0.01  # relative difference of the lengths of the axes in the affine and of the spacing


class Header(NamedTuple):
    """What matters here, in the order of both layouts below."""

    size: tuple[int, ...]  # number of axes, voxels along each
    datatype: int
    bits: int  # of a voxel
    spacing: tuple[float, ...]  # after a sign of its own
    start: float  # of the voxels, in bytes
    scale: tuple[float, float]
    codes: tuple[int, int]  # of quaternion and affine; 0 for none
    quaternion: tuple[float, ...]  # with an offset
    affine: tuple[float, ...]  # rows
    mark: bytes
    byte_order: str


# length of the header -> (struct, offset) of each of the above: NIfTI-1 and NIfTI-2
LAYOUTS = {
    348: (("8h", 40), ("h", 70), ("h", 72), ("8f", 76), ("f", 108), ("2f", 112), ("2h", 252), ("6f", 256))
    + (("12f", 280), ("3s", 344)),
    540: (("8q", 16), ("h", 12), ("h", 14), ("8d", 104), ("q", 168), ("2d", 176), ("2i", 344), ("6d", 352))
    + (("12d", 400), ("3s", 4)),
}


def require_sound(path: PathInput) -> Claim:
    """What a header says of its voxels. Raises InputError where it is damaged or there is a .nii twin."""
    own = Path(path)
    name = own.name.lower()
    twin = own.with_suffix("")
    if name.endswith(".nii.gz") and twin.exists():
        raise unsuitable(path, f"no {twin.name} in the same folder, whose voxels SimpleITK would take,", "one")
    header, data = _files(path) if name.removesuffix(".gz").endswith((".hdr", ".img")) else (own, own)
    found = _header(path, header)
    _require_numbers(path, found, ONE if header == data else PAIR)
    if found.codes[1] > 0:
        _require_affine(path, found)
    need = math.prod(max(n, 1) for n in found.size[1 : found.size[0] + 1]) * BYTES[found.datatype]
    floats = found.byte_order + FLOATS[found.datatype] if found.datatype in FLOATS else None
    packed = data.name.lower().endswith(".gz")
    start = int(found.start)
    return Claim(data, 0 if packed else start, need, packed, start if packed else 0, floats)


def _files(path: PathInput) -> tuple[Path, Path]:
    """Header and voxels of a pair of files, of which either may be named."""
    stem = Path(path).with_suffix("") if Path(path).name.lower().endswith(".gz") else Path(path)
    files = []
    for suffix in (".hdr", ".img"):
        names = [stem.with_suffix(suffix), stem.with_suffix(f"{suffix}.gz")]
        there = [name for name in names if name.is_file()]
        if len(there) != 1:
            raise unsuitable(path, f"one file {names[0].name} or {names[1].name}", f"{len(there)}")
        files += there
    return files[0], files[1]


def _header(path: PathInput, file: Path) -> Header:
    try:
        with gzip.open(file) if file.name.lower().endswith(".gz") else open(file, "rb") as stream:
            head = stream.read(540)
    except (EOFError, OSError, zlib.error):
        raise unsuitable(path, "a NIfTI image", "a file that is cut short or damaged") from None
    for order in "<>":
        layout = LAYOUTS.get(struct.unpack_from(f"{order}i", head)[0]) if len(head) >= 348 else None
        if layout and len(head) >= layout[-1][1] + struct.calcsize(layout[-1][0]):
            values = (struct.unpack_from(order + code, head, at) for code, at in layout)
            return Header._make([*(v[0] if len(v) == 1 else v for v in values), order])
    raise unsuitable(path, "a NIfTI header", "another one or none")


def _require_numbers(path: PathInput, head: Header, marks: tuple[bytes, ...]) -> None:
    axes = head.size[0]
    spacing = head.spacing[1 : min(axes, 3) + 1]
    checks = (
        (head.mark in marks, f"the mark {marks[0].decode()}", f"{head.mark!r}"),
        (1 <= axes <= 7 and min(head.size[1 : min(axes, 3) + 1], default=0) > 0, "positive sizes", str(head.size)),
        (
            BYTES.get(head.datatype, 0) * 8 == head.bits,
            "a known type of voxels",
            f"{head.datatype} of {head.bits} bits",
        ),
        (all(math.isfinite(s) and s > 0 for s in spacing), "a spacing above 0", " x ".join(f"{s:g}" for s in spacing)),
        (not any(map(math.isinf, head.scale)), "finite scaling", str(head.scale)),
        (head.codes[0] <= 0 or all(map(math.isfinite, head.quaternion)), "a finite quaternion", str(head.quaternion)),
        (0 <= head.start < 1 << 40 and head.start == int(head.start), "a place of the voxels", f"{head.start:g}"),
        (head.mark in PAIR or head.start >= 352, "voxels after the header", f"{head.start:g}"),
    )
    for fine, need, found in checks:
        if not fine:
            raise unsuitable(path, f"a NIfTI header with {need}", found)


def _require_affine(path: PathInput, head: Header) -> None:
    """The affine of the scanner must be finite and its axes as long as the spacing, which SimpleITK takes."""
    rows = [head.affine[4 * n : 4 * n + 4] for n in range(3)]
    if not all(abs(value) <= ORIGIN_MM for value in head.affine):  # nor NaN
        raise unsuitable(path, f"a NIfTI header with an affine of numbers within {ORIGIN_MM:g}", str(head.affine))
    for axis in range(min(head.size[0], 3)):
        length, spacing = math.hypot(*(row[axis] for row in rows)), head.spacing[axis + 1]
        if not abs(length - spacing) <= SLACK * spacing:
            need = f"an affine whose axis {axis + 1} is as long as the spacing of {spacing:.6g}"
            raise unsuitable(path, need, f"{length:.6g}")
