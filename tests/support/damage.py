"""Inputs as a hospital's night or an attacker may bring them: sound files made byte by byte, and ways to spoil them."""

import gzip
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

SIZE, SPACING, ORIGIN = (8, 7, 6), (1.5, 2.0, 3.0), (10.0, -20.0, 30.0)  # (x, y, z)
HU = np.random.default_rng(5).integers(-1000, 400, SIZE[::-1]).astype("<i2")
NAN, INF = float("nan"), float("inf")
AFFINE = (-1.5, 0, 0, -10, 0, -2, 0, 20, 0, 0, 3, 30)
# name of a field of NIfTI-1 -> its struct and place
FIELDS = {
    "sizeof_hdr": ("i", 0),
    "dim": ("8h", 40),
    "datatype": ("h", 70),
    "bitpix": ("h", 72),
    "pixdim": ("8f", 76),
    "vox_offset": ("f", 108),
    "scl_slope": ("f", 112),
    "scl_inter": ("f", 116),
    "xyzt_units": ("b", 123),
    "qform_code": ("h", 252),
    "sform_code": ("h", 254),
    "quatern": ("6f", 256),
    "srow": ("12f", 280),
    "magic": ("4s", 344),
}
SOUND = {
    "sizeof_hdr": (348,),
    "dim": (3, *SIZE, 1, 1, 1, 1),
    "datatype": (4,),
    "bitpix": (16,),
    "pixdim": (1, *SPACING, 1, 1, 1, 1),
    "vox_offset": (352,),
    "scl_slope": (1,),
    "xyzt_units": (2,),
    "sform_code": (1,),
    "srow": AFFINE,
    "magic": (b"n+1\0",),
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "10 -20 30",
    "CenterOfRotation": "0 0 0",
    "ElementSpacing": "1.5 2 3",
    "DimSize": "8 7 6",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "8 7 6",
    "space directions": "(1.5,0,0) (0,2,0) (0,0,3)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10,-20,30)",
}


class Damage(NamedTuple):
    """A way to spoil an input: writes files to a folder that holds ``ct.nii``, and what must be said of them."""

    make: Callable[[Path], object]
    told: str
    arguments: tuple[str, ...] = ()


def nifti(voxels: bytes = HU.tobytes(), order: str = "<", /, **fields: Any) -> bytes:
    """A NIfTI file of the sound image but for some fields of its header."""
    head = bytearray(352)
    for name, values in (SOUND | fields).items():
        code, at = FIELDS[name]
        struct.pack_into(order + code, head, at, *values)
    return bytes(head) + voxels


def metaimage(voxels: bytes = HU.tobytes(), /, without: Collection[str] = (), **fields: str) -> bytes:
    """A MetaImage file likewise."""
    named = META | fields
    named["ElementDataFile"] = named.pop("ElementDataFile")  # it is the last
    lines = [f"{name} = {value}\n" for name, value in named.items() if name not in without]
    local = "ElementDataFile = LOCAL\n" in lines
    return "".join(lines).encode() + (voxels if local else b"")


def packed_metaimage(voxels: bytes = HU.tobytes()) -> bytes:
    """A MetaImage file with compressed voxels."""
    packed = zlib.compress(voxels)
    fields = {name: value for name, value in META.items() if name not in ("CompressedData", "ElementDataFile")}
    fields |= {"CompressedData": "True", "CompressedDataSize": str(len(packed)), "ElementDataFile": "LOCAL"}
    return "".join(f"{name} = {value}\n" for name, value in fields.items()).encode() + packed


def nrrd(
    voxels: bytes = HU.tobytes(), /, without: Collection[str] = (), mark: str = "NRRD0004", **fields: str
) -> bytes:
    """An NRRD file likewise; blanks in the names of fields are underscores."""
    named = NRRD | {name.replace("_", " "): value for name, value in fields.items()}
    lines = [f"{name}: {value}\n" for name, value in named.items() if name not in without]
    return (f"{mark}\n" + "".join(lines) + "\n").encode() + voxels


def writes(name: str, content: bytes | str) -> Callable[[Path], object]:
    """Writes one file."""
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def cuts(name: str, content: bytes, sizes: range, told: str) -> Iterator[tuple[str, Damage]]:
    """The file cut short at many places."""
    for size in sizes:
        yield f"{name} of {size} bytes", Damage(writes(name, content[:size]), told)


def flips(name: str, content: bytes, places: range, told: str) -> Iterator[tuple[str, Damage]]:
    """The file with a byte changed at many places."""
    for at in places:
        yield f"{name} with byte {at} changed", Damage(writes(name, flipped(content, at)), told)


def flipped(content: bytes, at: int) -> bytes:
    """The bytes with one of them inverted."""
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def zipped(content: bytes) -> bytes:
    """As gzip packs it, without a time."""
    return gzip.compress(content, mtime=0)


def saved(array: np.ndarray, vector: bool = False) -> Callable[[Path], object]:
    """Writes an array with SimpleITK."""
    image = sitk.GetImageFromArray(array, isVector=vector)
    return lambda path: sitk.WriteImage(image, str(path))
