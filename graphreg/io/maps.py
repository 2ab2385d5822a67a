"""Maps on the fixed image: the maps as images, a colour picture of each and a table."""

import csv
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphreg.core.errors import InputError, PathInput
from graphreg.core.grid import Grid, sample
from graphreg.core.records import Volume
from graphreg.io.files import atomic_path, require_writable, write_text
from graphreg.io.images import write_volume
from graphreg.io.json_text import plain, write_json
from graphreg.io.pictures import GAP, Window, shade, three_planes, write_pixels

TABLE = "regions.csv"

# red, green, blue of even steps in lightness: from dark to light, and from dark through white to dark
SEQUENTIAL = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
DIVERGING = ((18, 78, 160), (118, 154, 207), (241, 241, 241), (219, 124, 109), (160, 25, 40))
STRENGTH = 0.75  # of the colour over the image
TAILS = (0.02, 0.98)  # share of the values below each limit
BAR = 14  # pixels across the colour bar
DOT = 3  # pixels
# five rows of three dots each, in the order of SIGNS
SIGNS = "0123456789-."
GLYPHS = (75557, 26227, 71747, 71717, 55711, 74717, 74757, 71111, 75757, 75717, 700, 2)


def require_own(folder: PathInput, mark: str, names: Sequence[str]) -> None:
    """Raise InputError where files of these names cannot be written to a folder or are there and not ours.

    Ours are those beside a record of the name ``mark``.
    """
    require_writable(folder, folder=True)
    if (Path(folder) / mark).exists():
        return
    for name in names:
        if (Path(folder) / name).exists():
            raise InputError(f"{folder}: a folder without {name}, or with {mark}, needed, found one in it")


def write_maps(
    folder: PathInput,
    grid: Grid,
    maps: Mapping[str, Tensor],
    pictures: Mapping[str, Tensor],
    rows: Sequence[Mapping[str, Any]],
    record: tuple[str, Mapping[str, Any]],
) -> None:
    """Maps (D, H, W) as NAME.nii.gz, 0 where they are not finite, pixels as NAME.png, a table, and the named record.

    All are written before the first is renamed, the record last.
    """
    out, (mark, content) = Path(folder), record
    with ExitStack() as stack:

        def place(name: str) -> Path:
            return stack.enter_context(atomic_path(out / name))

        write_json(place(mark), content)
        write_text(place(TABLE), _table(rows))
        for name, pixels in pictures.items():
            write_pixels(place(f"{name}.png"), pixels)
        for name, values in maps.items():
            write_volume((grid, values.nan_to_num(0, 0, 0)), place(f"{name}.nii.gz"), as_float=True)
        (out / mark).unlink(missing_ok=True)  # from here on the earlier files are no longer whole


def limits(values: Tensor, diverging: bool) -> tuple[float, float]:
    """Ends of the colours for the values of a map that are finite: two of a hundred lie beyond either.

    Diverging colours have zero in the middle.
    """
    known = values[values.isfinite()].cpu().numpy()
    low, high = np.quantile(known, TAILS).tolist() if known.size else (0.0, 0.0)
    low, high = math.floor(100 * low) / 100, math.ceil(100 * high) / 100
    if diverging:
        high = max(-low, high)
        low = -high
    return (low, high) if low < high else (low, low + 0.01)


def draw_map(
    fixed: Volume, mask: Tensor, values: Tensor, ends: tuple[float, float], diverging: bool, window: Window
) -> Tensor:
    """Pixels (height, width, 3) in [0, 1] of a map (D, H, W) over the image in three planes, where it is finite."""
    colours = colour_map(diverging)
    known = values.isfinite()
    data = torch.stack([values.nan_to_num(0, 0, 0), known.to(values)])

    def paint(points_mm: Tensor) -> Tensor:
        grey = shade(fixed, points_mm, window)[..., None]
        value, inside = sample(data, fixed.grid, points_mm.to(data.device), outside=0.0, nearest=True).cpu()
        paint = STRENGTH * _coloured(value, ends, colours) + (1 - STRENGTH) * grey
        return torch.where(inside[..., None] > 0, paint, grey.expand(-1, -1, 3))

    pixels = three_planes(fixed.grid, mask, paint).float()
    return torch.cat([pixels, _bar(len(pixels), ends, colours)], 1)


def colour_map(diverging: bool) -> Tensor:
    """Red, green and blue (256, 3) in [0, 1]."""
    anchors = np.array(DIVERGING if diverging else SEQUENTIAL) / 255
    where, places = np.linspace(0, 1, 256), np.linspace(0, 1, len(anchors))
    return torch.from_numpy(np.stack([np.interp(where, places, channel) for channel in anchors.T], 1)).float()


def _coloured(values: Tensor, ends: tuple[float, float], colours: Tensor) -> Tensor:
    low, high = ends
    return colours[((values - low) / (high - low) * 255).round().clamp(0, 255).long()]


def _bar(height: int, ends: tuple[float, float], colours: Tensor) -> Tensor:
    """Pixels (height, width, 3) of the colours from the lower to the upper limit, with both as numbers."""
    numbers = [_written(f"{end:.2f}") for end in ends]
    tall, wide = numbers[0].shape[0], max(number.shape[1] for number in numbers)
    out = torch.zeros(height, wide + 2 * GAP, 3)
    length = max(height - 2 * (tall + GAP), 1)
    ramp = _coloured(torch.linspace(1, 0, length), (0.0, 1.0), colours)
    out[tall + GAP : tall + GAP + length, GAP : GAP + BAR] = ramp[:, None]
    for number, above in zip(numbers, (height - tall, 0), strict=True):
        out[above : above + tall, GAP : GAP + number.shape[1]] = number[..., None]
    return out


def _written(text: str) -> Tensor:
    """Pixels (height, width) of a number, 1 for ink."""
    dots = torch.tensor(
        [[[int(row) >> bit & 1 for bit in (2, 1, 0, 3)] for row in f"{GLYPHS[SIGNS.index(sign)]:05}"] for sign in text]
    )
    return torch.cat(list(dots), 1).repeat_interleave(DOT, 0).repeat_interleave(DOT, 1).float()


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows under the header of their names; empty where there is no number."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(f"{cell:.6g}" if isinstance(cell, float) else cell for cell in plain(list(row.values())))
    return text.getvalue()
