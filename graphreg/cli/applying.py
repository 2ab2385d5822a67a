"""``graphreg warp`` and ``graphreg points``: a transform put to use."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from graphreg.cli import options
from graphreg.cli.console import say, warn
from graphreg.core.errors import InputError
from graphreg.core.records import DenseField, Volume
from graphreg.core.resampling import AIR_HU, resample
from graphreg.io import read_points, read_transform, read_volume, write_points, write_volume
from graphreg.io.files import require_suffix, require_writable
from graphreg.io.images import WRITABLE

EXACT = 1 << 24  # the whole numbers below it are told apart once they are read

Image = Annotated[Path, typer.Argument(metavar="IMAGE", help=f"In the space of MOVING: {options.IMAGE}.")]
OutImage = Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help=f"Image to write: {', '.join(WRITABLE)}.")]
Reference = Annotated[Path, typer.Option(metavar="FIXED", help="The image whose grid is wanted: the fixed one.")]
Labels = Annotated[
    bool, typer.Option("--labels", help="IMAGE holds whole numbers: take the nearest one, and 0 outside.")
]
Points = Annotated[Path, typer.Argument(metavar="POINTS", help="Points of the fixed image: .csv, .fcsv or .mrk.json.")]
OutPoints = Annotated[
    Path, typer.Option("-o", "--out", metavar="FILE", help="Points to write, LPS mm: .csv, .fcsv or .mrk.json.")
]


def warp(
    transform: options.Transform,
    image: Image,
    out: OutImage,
    reference: Reference,
    labels: Labels = False,
    debug: options.Debug = False,
) -> None:
    """Bring an image onto the grid of FIXED.

    IMAGE lies in the space of MOVING. HU are interpolated linearly, with -1024 outside IMAGE, and written in the type
    that IMAGE has in its file. So are labels, but as uint8 where they are 0 and 1 alone, and as int32 where as floats.
    """
    require_suffix(out, WRITABLE)
    require_output(out, transform, image, reference)
    field, volume, grid = read_transform(transform), read_volume(image), read_volume(reference).grid
    if labels:
        volume = _as_labels(image, volume)
    write_volume(resample(volume, grid, field, outside=0.0 if labels else AIR_HU, nearest=labels), out)
    say(f"{image} on the grid of {reference}: {out}")


def points(transform: options.Transform, points: Points, out: OutPoints, debug: options.Debug = False) -> None:
    """Map points of FIXED to MOVING.

    All in mm. A .csv file has the columns x,y,z in LPS, unless its header is r,a,s; the files of 3D Slicer say whether
    they are LPS or RAS. What is written is LPS.
    """
    require_suffix(out, (".csv", ".fcsv", ".mrk.json"))
    require_output(out, transform, points)
    field, fixed_mm = read_transform(transform), read_points(points)
    warn_of_strays(field, fixed_mm)
    write_points(out, field(fixed_mm))
    say(f"{len(fixed_mm)} points mapped from the fixed to the moving image: {out}")


def _as_labels(path: Path, volume: Volume) -> Volume:
    """The volume, to be stored as whole numbers. Raises InputError where it holds others."""
    data = volume.data
    if not bool(((data == data.round()) & (data.abs() < EXACT)).all()):
        raise InputError(f"{path}: whole numbers from {1 - EXACT} to {EXACT - 1} needed, found others")
    if bool(((data == 0) | (data == 1)).all()):
        return replace(volume, stored="uint8")
    return volume if "int" in (volume.stored or "") else replace(volume, stored="int32")


def warn_of_strays(field: DenseField, fixed_mm: Tensor) -> None:
    """A warning where points (N, 3) lie beyond what the transform knows."""
    outside = int((~field.grid.contains(fixed_mm)).sum())
    if outside:
        warn(f"{outside} of {len(fixed_mm)} points lie outside the fixed image: moved as its border is")


def require_output(out: Path, *inputs: Path) -> None:
    """Raise InputError where a file cannot be written, or is one of the inputs."""
    for file in inputs:
        if out.exists() and file.exists() and out.samefile(file):
            raise InputError(f"{out}: another file to write to needed, found that of an input")
    require_writable(out)
