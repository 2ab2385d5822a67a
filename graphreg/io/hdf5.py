"""HDF5 notes the second in which each object was made, so that equal files would differ: here these times are cleared.

Object headers of version 2: "OHDR", version, flags, four times where bit 5 is set, two numbers where bit 4 is, size of
the first chunk in 1, 2, 4 or 8 bytes (bits 0 and 1), the chunk, and the lookup3 checksum (Jenkins 2006) of all that.
"""

import mmap
import struct

from graphreg.io.errors import PathInput

MAGIC = b"OHDR\x02"
TIMES, PHASES = 0x20, 0x10
WORD = 0xFFFFFFFF


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
