"""What the NIfTI reader of ITK passes over in silence.

It fills missing bytes with zeros, turns NaN into 0 HU, and for ct.nii.gz takes the voxels of a ct.nii beside it.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from graphreg.io.errors import PathInput, unsuitable

CHUNK = 1 << 24  # bytes, a multiple of every voxel size
FLOATS = {16: "f4", 64: "f8"}  # NIfTI datatype -> numpy
# length of the header -> (struct of the whole of it that matters here, offsets): NIfTI-1 and NIfTI-2
LAYOUTS = {348: (("8h", 40), ("h", 70), ("h", 72), ("f", 108)), 540: (("8q", 16), ("h", 12), ("h", 14), ("q", 168))}


def require_sound(path: PathInput) -> None:
    """Raise InputError where a .nii or .nii.gz file is cut short, holds NaN or infinite voxels, or has a .nii twin."""
    name = Path(path).name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return
    twin = Path(path).with_suffix("")
    if name.endswith(".gz") and twin.exists():
        raise unsuitable(path, f"no {twin.name} in the same folder, whose voxels SimpleITK would take,", "one")
    try:
        with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as stream:
            _check(path, stream)  # type: ignore[arg-type]  # a GzipFile reads like any binary file
    except (EOFError, OSError, struct.error, zlib.error):
        raise unsuitable(path, "a whole NIfTI file", "one that is cut short or damaged") from None


def _check(path: PathInput, stream: BinaryIO) -> None:
    head = stream.read(540)
    order = next((o for o in "<>" if struct.unpack_from(f"{o}i", head)[0] in LAYOUTS), None)
    if order is None:
        return  # SimpleITK will say that it cannot read this
    layout = LAYOUTS[struct.unpack_from(f"{order}i", head)[0]]
    size, (datatype,), (bits,), (offset,) = (struct.unpack_from(order + code, head, at) for code, at in layout)
    missing = int(np.prod([max(n, 1) for n in size[1 : size[0] + 1]], dtype=np.int64)) * bits // 8
    stream.seek(int(offset))
    for chunk in _chunks(stream):
        missing -= len(chunk)
        if datatype in FLOATS and not _finite(chunk, order + FLOATS[datatype]):
            raise unsuitable(path, "an image of finite values", "NaN or infinite voxels")
    if missing > 0:
        raise EOFError


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _finite(chunk: bytes, dtype: str) -> bool:
    values = np.frombuffer(chunk, dtype, count=len(chunk) // np.dtype(dtype).itemsize)
    return bool(np.isfinite(values).all())
