"""``graphreg warp``: an image brought onto the grid of another by a transform."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options
from graphreg.cli.console import say
from graphreg.cli.names import WRITABLE
from graphreg.core.errors import InputError

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

    IMAGE lies in the space of MOVING. HU are interpolated linearly, with -1024 outside IMAGE, and written as int16, or
    as float32 where IMAGE holds fractions. Labels are written as int16, or as uint8 where they are 0 and 1 alone.
    """
    from graphreg.cli.checks import require_output
    from graphreg.core.resampling import resample
    from graphreg.io import read_transform, read_volume, write_volume
    from graphreg.io.files import require_suffix
    from graphreg.io.images import INT16, read_grid
    from graphreg.runs.identity import value_outside

    require_suffix(out, WRITABLE)
    require_output(out, transform, image, reference)
    field, volume, grid = read_transform(transform), read_volume(image), read_grid(reference)
    whole = bool((volume.data == volume.data.round().clamp(INT16.min, INT16.max)).all())
    if labels and not whole:
        raise InputError(f"{image}: whole numbers from {INT16.min} to {INT16.max} needed, found others")
    warped = resample(volume, grid, field, outside=0.0 if labels else value_outside(transform, volume), nearest=labels)
    binary = labels and bool(((volume.data == 0) | (volume.data == 1)).all())
    write_volume((grid, warped.data.bool()) if binary else warped, out, as_float=not whole)
    say(f"{image} on the grid of {reference}: {out}")
