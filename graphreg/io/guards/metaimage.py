"""MetaImage (.mha, .mhd) before SimpleITK reads it.

Its reader writes beyond its memory at a wrong NDims, takes what lies in memory for voxels where unpacking fails, and
reads any file that ElementDataFile names.
"""

import math
from pathlib import Path

from graphreg.core.errors import PathInput, unsuitable
from graphreg.io.guards.counting import Claim
from graphreg.io.guards.headers import (
    DIMENSIONS,
    MOST,
    beside,
    finite_numbers,
    positive_numbers,
    require_fields,
    whole_numbers,
)

SUFFIXES = (".mha", ".mhd")
LONGEST = 255, 4000  # characters of a name and of a value: the reader has buffers of 256 and 4096
NEEDED = ("NDims", "DimSize", "ElementType", "ElementDataFile")
BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}
ORIGINS, AXES = ("Offset", "Position", "Origin"), ("TransformMatrix", "Rotation", "Orientation")
PLACES = ("CenterOfRotation", "SequenceID", "ElementSize")
SINGLE = {"Color": 4, "ElementMin": 1, "ElementMax": 1, "ID": 1, "ParentID": 1}


def require_sound(path: PathInput) -> Claim:
    """What a header says of its voxels. Raises InputError where it is damaged."""
    fields, start = _fields(path)
    require_fields(path, fields, NEEDED)
    (count,) = whole_numbers(path, "NDims", fields["NDims"], 1)
    if count not in DIMENSIONS or next(k for k in fields if k in (*NEEDED, *ORIGINS, *AXES)) != "NDims":
        need = f"NDims of {DIMENSIONS[0]} to {DIMENSIONS[-1]} before what depends on it"
        raise unsuitable(path, need, f"'{fields['NDims']}'")
    _require_geometry(path, fields, count)
    return _claim(path, fields, count, start)


def _fields(path: PathInput) -> tuple[dict[str, str], int]:
    """The header, and where it ends."""
    with open(path, "rb") as stream:
        content = stream.read(MOST)
    fields: dict[str, str] = {}
    start = 0
    while "ElementDataFile" not in fields:
        line, end, _ = content[start:].partition(b"\n")
        name, equals, value = line.decode("latin-1").partition("=")
        name, value = name.strip(), value.strip()
        wrong = not equals or not name or name in fields or len(name) > LONGEST[0] or len(value) > LONGEST[1]
        if wrong or not end:
            raise unsuitable(path, "a MetaImage header of lines NAME = VALUE", "another one or a part of one")
        fields[name] = value
        start += len(line) + 1
    return fields, start


def _require_geometry(path: PathInput, fields: dict[str, str], count: int) -> None:
    spacing = next((key for key in ("ElementSpacing", "ElementSize") if key in fields), None)
    if spacing is None:
        raise unsuitable(path, "a header with ElementSpacing", "none")
    positive_numbers(path, spacing, fields[spacing], count)
    numbers = dict.fromkeys((*ORIGINS, *PLACES), count) | dict.fromkeys(AXES, count * count) | SINGLE
    for key in fields.keys() & numbers.keys():  # the reader looks for missing ones in the next line
        finite_numbers(path, key, fields[key], numbers[key])


def _claim(path: PathInput, fields: dict[str, str], count: int, start: int) -> Claim:
    size = whole_numbers(path, "DimSize", fields["DimSize"], count)
    (channels,) = whole_numbers(path, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1"), 1)
    if fields["ElementType"] not in BYTES:
        raise unsuitable(path, f"an ElementType of {', '.join(BYTES)}", f"'{fields['ElementType'][:80]}'")
    if not _yes(fields, "BinaryData", "True") or fields.get("HeaderSize", "0") not in ("0", "-1"):
        raise unsuitable(path, "binary voxels right after the header, or in a file of their own", "others")
    need = math.prod(size) * channels * BYTES[fields["ElementType"]]
    local = fields["ElementDataFile"].upper() == "LOCAL"
    file = Path(path) if local else beside(path, fields["ElementDataFile"])
    packed = _yes(fields, "CompressedData", "False")
    begin = start if local else 0
    if packed:
        (held,) = whole_numbers(path, "CompressedDataSize", fields.get("CompressedDataSize", ""), 1)
        if file.stat().st_size != begin + held:
            raise unsuitable(path, f"{held} bytes of packed voxels", f"{file.stat().st_size - begin}")
    elif fields.get("HeaderSize") == "-1":
        begin = max(file.stat().st_size - need, 0)
    return Claim(file, begin, need, packed)


def _yes(fields: dict[str, str], name: str, default: str) -> bool:
    return fields.get(name, default)[:1].upper() in ("T", "1")
