"""Whether a file holds the voxels that its header claims, in one sweep through it; what was found sound is remembered.

They are counted, piece by piece, before memory for all of them is asked for.
"""

import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import numpy as np

from graphreg.core.errors import PathInput, unsuitable

CHUNK = 1 << 20  # bytes, a multiple of every voxel size; in larger ones zlib is half as fast
ZLIB_OR_GZIP = 47  # as zlib counts: the widest window, either header
KEPT = 256  # files that are remembered
SETTLED_NS = 2_000_000_000  # file systems tell no two changes apart that are closer than this


class Claim(NamedTuple):
    """What a header says of its voxels."""

    file: Path
    start: int  # byte of the file
    need: int  # bytes of voxels
    packed: bool = False  # by zlib or gzip
    skip: int = 0  # bytes before the voxels of what was packed
    floats: str | None = None  # numpy name of their type where they must be finite


State = tuple[int, ...]  # of a file: size, two times, and which one it is

_sound: dict[Path, tuple[State, Claim]] = {}  # the latest last
_lock = Lock()


def require_bytes(path: PathInput, claim: Claim, seen: Callable[[bytes], object] | None = None) -> None:
    """Raise InputError where a file holds fewer bytes of voxels than claimed, or floats that are not finite.

    ``seen`` gets all bytes of the file in their order. A file that is known is not looked at again, but for ``seen``.
    """
    if seen is None and is_known(claim):
        return
    with open(claim.file, "rb") as stream:
        began_ns, state = time.time_ns(), _state(os.fstat(stream.fileno()))
        raw = _without(_pieces(stream, seen), claim.start)
        try:
            found = _count(path, _without(_unpacked(raw) if claim.packed else raw, claim.skip), claim)
        except (EOFError, zlib.error):
            raise unsuitable(path, f"{claim.need} bytes of voxels", "a file that is cut short or damaged") from None
        if found < claim.need:
            raise unsuitable(path, f"{claim.need} bytes of voxels", f"{found}: a file that is cut short or damaged")
        if state == _state(os.fstat(stream.fileno())) and state[1] < began_ns - SETTLED_NS:
            _remember(claim, state)


def is_known(claim: Claim) -> bool:
    """Whether the file, as it is now, was found to hold what is claimed. Raises OSError where it cannot be told."""
    state = _state(os.stat(claim.file))
    with _lock:
        known = _sound.get(claim.file.resolve())
    return known is not None and known[0] == state and known[1][1:] == claim[1:]


def _remember(claim: Claim, state: State) -> None:
    place = claim.file.resolve()
    with _lock:
        _sound.pop(place, None)
        _sound[place] = state, claim
        for oldest in list(_sound)[:-KEPT]:
            del _sound[oldest]


def _state(told: os.stat_result) -> State:
    return told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino, told.st_dev


def _pieces(stream: BinaryIO, seen: Callable[[bytes], object] | None) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        if seen:
            seen(chunk)
        yield chunk


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What zlib or gzip packed, in one piece or several. Raises EOFError where the last is not whole, or zlib.error."""
    unpacker, whole, more = zlib.decompressobj(ZLIB_OR_GZIP), False, False
    for packed in chunks:
        packed = packed.lstrip(b"\0") if whole else packed  # between the pieces, and after the last
        while packed or more:
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


def _count(path: PathInput, chunks: Iterator[bytes], claim: Claim) -> int:
    found, rest = 0, b""
    for chunk in chunks:  # to the end, where the checksum of what is packed stands
        if claim.floats and found < claim.need:
            voxels = rest + chunk[: claim.need - found]
            whole = len(voxels) - len(voxels) % np.dtype(claim.floats).itemsize
            rest = voxels[whole:]
            if not bool(np.isfinite(np.frombuffer(voxels[:whole], claim.floats)).all()):
                raise unsuitable(path, "an image of finite values", "NaN or infinite voxels")
        found += len(chunk)
    return found
