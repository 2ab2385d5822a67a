"""HDF5 as ITK writes transforms: read here, as its library hangs or crashes at damaged files; and freed of times.

It notes the second in which each object was made, so that equal files would differ.

Object headers of version 2: "OHDR", version, flags, four times where bit 5 is set, two numbers where bit 4 is, size of
the first chunk in 1, 2, 4 or 8 bytes (bits 0 and 1), the chunk, and the lookup3 checksum (Jenkins 2006) of all that.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graphreg.core.errors import PathInput

MAGIC = b"OHDR\x02"
TIMES, PHASES = 0x20, 0x10
WORD = 0xFFFFFFFF
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SPACE, TYPE, LINK, LAYOUT, MORE = 0x01, 0x03, 0x06, 0x08, 0x10  # kinds of messages in an object header
BLOCKS = 64  # that a header has at most
FLOAT, TEXT = 1, 9  # classes of types: numbers, and texts of any length
Numbers = npt.NDArray[np.float64]


class DamagedError(ValueError):
    """A file that is no HDF5 of the kind that is written here, or not a whole one."""


class Hdf5File:
    """Groups, numbers and texts of a file of the format of HDF5 1.8 (superblock 2). Raises DamagedError."""

    def __init__(self, path: PathInput) -> None:
        self._content = Path(path).read_bytes()
        head = self._content[:48]
        if head[:8] != SIGNATURE or head[8:11] not in (b"\2\10\10", b"\3\10\10") or head[44:] != _checksum(head[:44]):
            raise DamagedError("no HDF5 file as ITK writes it")
        end, self._root = struct.unpack_from("<2Q", head, 28)
        if end != len(self._content):
            raise DamagedError(f"{len(self._content)} of {end} bytes")

    def names(self, *path: str) -> list[str]:
        """Names in the group at a path."""
        return list(self._links(self._find(path)))

    def numbers(self, *path: str) -> Numbers:
        """The numbers (N,) of the dataset at a path."""
        kind, size, data, count = self._dataset(self._find(path))
        if kind != FLOAT or size not in (4, 8) or len(data) != size * count:
            raise DamagedError("other numbers than floats")
        return np.frombuffer(data, f"<f{size}").astype(np.float64)

    def text(self, *path: str) -> str:
        """The one text of the dataset at a path."""
        kind, size, data, count = self._dataset(self._find(path))
        if kind != TEXT or (size, count, len(data)) != (16, 1, 16):
            raise DamagedError("something else than one text")
        length, heap, number = struct.unpack("<IQI", data)
        at, end = heap + 16, heap + int.from_bytes(self._part(heap + 8, 8), "little")
        while at < end:
            index, size = struct.unpack("<H6xQ", self._part(at, 16))
            if index == number and length <= size:
                return self._part(at + 16, length).decode("latin-1").rstrip("\0")
            at += 16 + size + -size % 8
        raise DamagedError("a text that is not there")

    def _part(self, at: int, size: int) -> bytes:
        found = self._content[at : at + size]
        if len(found) != size:
            raise DamagedError("an object beyond the end")
        return found

    def _find(self, path: tuple[str, ...]) -> int:
        at = self._root
        for name in path:
            links = self._links(at)
            if name not in links:
                raise DamagedError(f"no {'/'.join(path)}")
            at = links[name]
        return at

    def _links(self, at: int) -> dict[str, int]:
        """Name -> place of the objects in a group."""
        found = {}
        for kind, body in self._messages(at):
            if kind == LINK:
                flags = body[1]
                start = 2 + bool(flags & 8) + 8 * bool(flags & 4) + bool(flags & 16)
                width = 1 << (flags & 3)
                end = start + width + int.from_bytes(body[start : start + width], "little")
                if body[0] != 1 or (flags & 8 and body[2]) or len(body) < end + 8:
                    raise DamagedError("a link of another kind")
                found[body[start + width : end].decode("latin-1")] = int.from_bytes(body[end : end + 8], "little")
        return found

    def _dataset(self, at: int) -> tuple[int, int, bytes, int]:
        """Class of the type, bytes of each, all bytes, and how many there are."""
        bodies = dict(self._messages(at))
        if not {SPACE, TYPE, LAYOUT} <= bodies.keys():
            raise DamagedError("no dataset")
        space, kind, layout = (bodies[name].ljust(24, b"\0") for name in (SPACE, TYPE, LAYOUT))
        (count,) = struct.unpack_from("<Q", space, 4 if space[0] == 2 else 8)
        if space[1] != 1 or layout[:2] != b"\3\1" or (kind[0] & 15 == FLOAT and kind[1] & 1):
            raise DamagedError("data that are packed, big-endian or in several dimensions")
        place, size = struct.unpack_from("<2Q", layout, 2)
        return kind[0] & 15, int.from_bytes(kind[4:8], "little"), self._part(place, size), count

    def _messages(self, at: int) -> Iterator[tuple[int, bytes]]:
        """Kind and body of the messages of an object, whose header may go on elsewhere."""
        flags = self._part(at, 6)[5]
        start = at + 6 + (16 if flags & TIMES else 0) + (4 if flags & PHASES else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self._part(start, width), "little")
        blocks = [(at, start + width, start + width + size)]
        head = 6 if flags & 4 else 4
        for first, begin, end in blocks:
            if self._part(first, 4) not in (MAGIC[:4], b"OCHK") or len(blocks) > BLOCKS:
                raise DamagedError("a header of another kind")
            if self._part(end, 4) != _checksum(self._part(first, end - first)):
                raise DamagedError("a header with a wrong checksum")
            while begin + head <= end:
                kind, size = struct.unpack("<BH", self._part(begin, 3))
                body = self._part(begin + head, size)
                if kind == MORE:
                    place, length = struct.unpack("<2Q", body)
                    blocks.append((place, place + 4, place + length - 4))
                yield kind, body
                begin += head + size


def clear_times(path: PathInput) -> None:
    """Set the times in the headers of a file to zero. What only looks like a header has a wrong checksum and stays."""
    with open(path, "r+b") as stream, mmap.mmap(stream.fileno(), 0) as content:
        at = content.find(MAGIC)
        while at >= 0:
            _clear(content, at)
            at = content.find(MAGIC, at + 1)


def _clear(content: mmap.mmap, at: int) -> None:
    flags = content[at + 5]
    if not flags & TIMES:
        return
    start = at + 22 + (4 if flags & PHASES else 0)
    width = 1 << (flags & 3)
    end = start + width + int.from_bytes(content[start : start + width], "little")
    header = content[at:end]
    if end + 4 > len(content) or content[end : end + 4] != _checksum(header):
        return
    header = header[:6] + bytes(16) + header[22:]
    content[at : end + 4] = header + _checksum(header)


def _checksum(data: bytes) -> bytes:
    a = b = c = (0xDEADBEEF + len(data)) & WORD
    blocks = max(-(-len(data) // 12), 1)
    words = struct.unpack(f"<{3 * blocks}I", data.ljust(12 * blocks, b"\0"))
    for block in range(blocks):
        x, y, z = words[3 * block : 3 * block + 3]
        a, b, c = (a + x) & WORD, (b + y) & WORD, (c + z) & WORD
        if block < blocks - 1:
            for turn in (4, 6, 8, 16, 19, 4):  # the roles of a, b, c change with each turn
                a = ((a - c) & WORD) ^ _rotated(c, turn)
                c = (c + b) & WORD
                a, b, c = b, c, a
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotated(b, turn)) & WORD
        a, b, c = b, c, a
    return struct.pack("<I", b)


def _rotated(word: int, turn: int) -> int:
    return (word << turn | word >> (32 - turn)) & WORD
