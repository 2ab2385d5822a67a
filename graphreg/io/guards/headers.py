"""What every format of images asks of its header before SimpleITK, which trusts headers, may look at the file.

Numbers that are numbers, voxels in one file beside the header, and as many bytes of them as it claims.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from graphreg.core.errors import PathInput, unsuitable
from graphreg.core.grid import Grid

CHUNK = 1 << 24  # bytes, a multiple of every voxel size
ZLIB_OR_GZIP = 47  # as zlib counts: the widest window, either header
SPACING_MM = (0.01, 100.0)  # of chests, of mice and of men
EXTENT_MM = 2500.0
VOLUME_MM3 = 2e9
ORIGIN_MM = 1e5  # beyond it single precision no longer tells tenths of a millimetre


def finite_numbers(path: PathInput, key: str, text: str, count: int) -> list[float]:
    """So many numbers of a text, parted by blanks. Raises InputError."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(math.isfinite(value) for value in values):
        raise unsuitable(path, f"{key} of {count} number{'s' * (count > 1)}", f"'{text[:80]}'")
    return values


def positive_numbers(path: PathInput, key: str, text: str, count: int) -> list[float]:
    """So many numbers above zero of a text. Raises InputError."""
    values = finite_numbers(path, key, text, count)
    if min(values) <= 0:
        raise unsuitable(path, f"{key} above 0", f"'{text[:80]}'")
    return values


def whole_numbers(path: PathInput, key: str, text: str, count: int) -> list[int]:
    """So many whole numbers of at least one. Raises InputError."""
    values = positive_numbers(path, key, text, count)
    if any(value != int(value) for value in values):
        raise unsuitable(path, f"{key} of whole numbers", f"'{text[:80]}'")
    return [int(value) for value in values]


def require_fields(path: PathInput, fields: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Raise InputError where a header lacks a field."""
    for name in names:
        if name not in fields:
            raise unsuitable(path, f"a header with {name}", "none")


def beside(path: PathInput, name: str) -> Path:
    """The one file with the voxels, which lies in the folder of its header: others are not seen as part of an image.

    Raises InputError.
    """
    file = Path(path).parent / name
    if not name or Path(name).name != name or name == Path(path).name:
        raise unsuitable(path, "voxels in one file beside the header", f"'{name[:80]}'")
    if not file.is_file():
        raise unsuitable(path, f"the voxels in {file}", "nothing")
    return file


def require_bytes(
    path: PathInput, file: Path, start: int, need: int, packed: bool = False, skip: int = 0, floats: str | None = None
) -> None:
    """Raise InputError where a file holds fewer bytes of voxels than its header claims, or floats that are not finite.

    They are counted, piece by piece, before memory for all of them is asked for: from ``start`` in the file on, without
    the first ``skip`` of those that were packed.
    """
    try:
        with open(file, "rb") as stream:
            stream.seek(start)
            chunks = _without(_unpacked(stream) if packed else _plain(stream), skip)
            found = _count(path, chunks, need, floats)
    except (EOFError, OSError, zlib.error):
        raise unsuitable(path, f"{need} bytes of voxels", "a file that is cut short or damaged") from None
    if found < need:
        raise unsuitable(path, f"{need} bytes of voxels", f"{found}: a file that is cut short or damaged")


def require_plausible(path: PathInput, grid: Grid) -> None:
    """Raise InputError where a grid cannot be that of a patient: in metres or voxels, or with a damaged header."""
    spacing, origin = grid.spacing_mm, grid.origin_mm
    if not all(SPACING_MM[0] <= s <= SPACING_MM[1] for s in spacing):
        need = f"a spacing of {SPACING_MM[0]:g} to {SPACING_MM[1]:g} mm"
        raise unsuitable(path, need, " x ".join(f"{s:.6g}" for s in spacing))
    extent_mm = [n * s for n, s in zip(grid.shape[::-1], spacing, strict=True)]
    if max(extent_mm) > EXTENT_MM or math.prod(extent_mm) > VOLUME_MM3:
        need = f"an image of at most {EXTENT_MM:g} mm along each axis and {VOLUME_MM3 / 1e9:g} cubic metres"
        raise unsuitable(path, need, " x ".join(f"{length:.6g}" for length in extent_mm) + " mm")
    if max(map(abs, origin)) > ORIGIN_MM:
        found = ", ".join(f"{o:.6g}" for o in origin)
        raise unsuitable(path, f"an origin within {ORIGIN_MM:g} mm", f"({found})")


def _plain(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _unpacked(stream: BinaryIO) -> Iterator[bytes]:
    """What zlib or gzip packed, in one piece or several. Raises EOFError where the last is not whole, or zlib.error."""
    unpacker, whole, more, packed = zlib.decompressobj(ZLIB_OR_GZIP), False, False, b""
    while more or (packed := packed or stream.read(CHUNK)):
        chunk = unpacker.decompress(packed, CHUNK)
        yield chunk
        packed, whole, more = unpacker.unconsumed_tail, unpacker.eof, len(chunk) == CHUNK
        if whole:
            packed, unpacker = unpacker.unused_data.lstrip(b"\0"), zlib.decompressobj(ZLIB_OR_GZIP)
            more = False
    if not whole:
        raise EOFError


def _without(chunks: Iterator[bytes], skip: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[skip:]
        skip = max(skip - len(chunk), 0)


def _count(path: PathInput, chunks: Iterator[bytes], need: int, floats: str | None) -> int:
    found, rest = 0, b""
    for chunk in chunks:  # to the end, where the checksum of what is packed stands
        if floats and found < need:
            voxels = rest + chunk[: need - found]
            whole = len(voxels) - len(voxels) % np.dtype(floats).itemsize
            rest = voxels[whole:]
            if not bool(np.isfinite(np.frombuffer(voxels[:whole], floats)).all()):
                raise unsuitable(path, "an image of finite values", "NaN or infinite voxels")
        found += len(chunk)
    return found
