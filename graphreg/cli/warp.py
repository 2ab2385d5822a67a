"""``graphreg warp``: an image brought onto the grid of another by a transform."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphreg.cli import options
from graphreg.cli.console import say
from graphreg.cli.names import WRITABLE
from graphreg.core.errors import InputError

if TYPE_CHECKING:
    from graphreg.core.records import Volume

EXACT = 1 << 24  # the whole numbers below it are told apart once they are read

Image = Annotated[Path, typer.Argument(metavar="IMAGE", help=f"In the space of MOVING: {options.IMAGE}.")]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help=f"Image to write: {', '.join(WRITABLE)}.")]
Reference = Annotated[Path, typer.Option(metavar="FIXED", help="The image whose grid is wanted: the fixed one.")]
Labels = Annotated[
    bool, typer.Option("--labels", help="IMAGE holds whole numbers: take the nearest one, and 0 outside.")
]


def warp(
    transform: options.Transform,
    image: Image,
    out: Out,
    reference: Reference,
    labels: Labels = False,
    debug: options.Debug = False,
) -> None:
    """Bring an image onto the grid of FIXED.

    IMAGE lies in the space of MOVING. It is interpolated linearly and written in the type that it has in its file.
    Beyond it lies what the record beside TRANSFORM says of its anatomy (-1024 HU for lungs), without a record the
    smallest value of IMAGE. Labels keep their type, too, but become uint8 where they are 0 and 1 alone, and int32 where
    they are stored as floats.
    """
    from graphreg.cli.checks import require_output
    from graphreg.core.resampling import resample
    from graphreg.io import read_transform, read_volume, write_volume
    from graphreg.io.files import require_suffix
    from graphreg.io.images import read_grid
    from graphreg.runs.identity import value_outside

    require_suffix(out, WRITABLE)
    require_output(out, transform, image, reference)
    field, volume, grid = read_transform(transform), read_volume(image), read_grid(reference)
    volume = _as_labels(image, volume) if labels else volume
    outside = 0.0 if labels else value_outside(transform, volume)
    write_volume(resample(volume, grid, field, outside=outside, nearest=labels), out)
    say(f"{image} on the grid of {reference}: {out}")


def _as_labels(path: Path, volume: Volume) -> Volume:
    """The volume, to be stored as whole numbers. Raises InputError where it holds others."""
    data = volume.data
    if not bool(((data == data.round()) & (data.abs() < EXACT)).all()):
        raise InputError(f"{path}: whole numbers from {1 - EXACT} to {EXACT - 1} needed, found others")
    if bool(((data == 0) | (data == 1)).all()):
        return replace(volume, stored="uint8")
    return volume if "int" in (volume.stored or "") else replace(volume, stored="int32")
