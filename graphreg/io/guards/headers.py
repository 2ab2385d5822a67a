"""What every format of images asks of its header before SimpleITK, which trusts headers, may look at the file.

Numbers that are numbers, and voxels in one file beside the header.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from graphreg.core.errors import PathInput, unsuitable
from graphreg.core.grid import Grid

MOST = 1 << 16  # bytes of a header of text
DIMENSIONS = range(2, 6)  # of an image with or without channels or time
SPACING_MM = (0.01, 100.0)  # of mice and of men
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
