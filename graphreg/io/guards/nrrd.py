"""NRRD (.nrrd, .nhdr) before SimpleITK reads it.

Its reader takes 1 mm for a spacing that is missing, and any file that the header names for voxels.
"""

import math
import re
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

SUFFIXES = (".nrrd", ".nhdr")
NEEDED = ("type", "dimension", "sizes", "encoding")
BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
    **dict.fromkeys((f"{sign}long long{end}" for sign in ("", "signed ", "unsigned ") for end in ("", " int")), 8),
    **dict.fromkeys(("longlong", "int64", "int64_t", "ulonglong", "uint64", "uint64_t"), 8),
    "float": 4,
    "double": 8,
}
PACKED = {"raw": False, "gzip": True, "gz": True}
SPACES = ("left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las")


def require_sound(path: PathInput) -> Claim:
    """What a header says of its voxels. Raises InputError where it is damaged."""
    fields, start = _fields(path)
    require_fields(path, fields, NEEDED)
    (count,) = whole_numbers(path, "dimension", fields["dimension"], 1)
    if count not in DIMENSIONS:
        raise unsuitable(path, f"a dimension of {DIMENSIONS[0]} to {DIMENSIONS[-1]}", f"'{count}'")
    _require_geometry(path, fields, count)
    return _claim(path, fields, count, start)


def _fields(path: PathInput) -> tuple[dict[str, str], int]:
    """The header, names in small letters, and where it ends: at a blank line, or with the file."""
    with open(path, "rb") as stream:
        content = stream.read(MOST)
    blank = re.search(rb"\r?\n\r?\n", content)
    end = blank.end() if blank else len(content)
    mark, *lines = content[:end].decode("latin-1").splitlines() or [""]
    if not re.fullmatch("NRRD000[1-5]", mark):
        raise unsuitable(path, "an NRRD header", "another one or none")
    fields: dict[str, str] = {}
    for line in lines:
        name, sign, value = re.match("([^:]*)(:=|: ?|)(.*)", line).groups()  # type: ignore[union-attr]  # matches all
        name = name.strip().lower().replace("datafile", "data file")
        if not line or line.startswith("#") or sign == ":=":  # remarks, and pairs of one's own
            continue
        if not sign or name in fields:
            raise unsuitable(path, "an NRRD header of lines NAME: VALUE, each name once", f"'{line[:80]}'")
        fields[name] = value.strip()
    return fields, end


def _require_geometry(path: PathInput, fields: dict[str, str], count: int) -> None:
    space = fields.get("space", SPACES[0]).lower()
    if space not in SPACES:
        raise unsuitable(path, f"a space of {', '.join(SPACES)}", f"'{space[:80]}'")
    if {unit.strip() for unit in fields.get("space units", "").split('"')} - {"", "mm"}:
        raise unsuitable(path, "space units of mm", fields["space units"][:80])
    (across,) = whole_numbers(path, "space dimension", fields.get("space dimension", "3"), 1)
    if "space directions" in fields:
        _require_directions(path, fields["space directions"], across)
    elif "spacings" in fields:
        positive_numbers(path, "spacings", fields["spacings"], count)
    else:
        raise unsuitable(path, "a header with space directions or spacings", "none")
    if "space origin" in fields:
        finite_numbers(path, "space origin", fields["space origin"].strip("()").replace(",", " "), across)


def _require_directions(path: PathInput, text: str, across: int) -> None:
    """One vector for each axis of space; axes of other things have none."""
    vectors = [v for v in re.sub(r"\s", "", text).replace("none", "").split(")") if v]
    for vector in vectors:
        numbers = finite_numbers(path, "space directions", vector.lstrip("(").replace(",", " "), across)
        if not any(numbers):
            raise unsuitable(path, "space directions above 0", text[:80])
    if len(vectors) != across:
        raise unsuitable(path, f"space directions of {across} axes", f"{len(vectors)}")


def _claim(path: PathInput, fields: dict[str, str], count: int, start: int) -> Claim:
    size = whole_numbers(path, "sizes", fields["sizes"], count)
    if fields["type"].lower() not in BYTES:
        raise unsuitable(path, "voxels of a type as short or float", f"'{fields['type'][:80]}'")
    if fields["encoding"].lower() not in PACKED:
        raise unsuitable(path, f"one of {', '.join(PACKED)} as encoding", f"'{fields['encoding'][:80]}'")
    bytes_each = BYTES[fields["type"].lower()]
    if bytes_each > 1 and fields.get("endian", "").lower() not in ("little", "big"):
        raise unsuitable(path, "endian: little or big", f"'{fields.get('endian', '')[:80]}'")
    if any(fields.get(f"{what} skip", "0") != "0" for what in ("line", "byte")):
        raise unsuitable(path, "voxels right after the header, or in a file of their own", "others")
    file = beside(path, fields["data file"]) if "data file" in fields else Path(path)
    begin = 0 if "data file" in fields else start
    return Claim(file, begin, math.prod(size) * bytes_each, PACKED[fields["encoding"].lower()])
