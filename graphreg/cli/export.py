"""``graphreg export``: a result in the formats of other programs."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options
from graphreg.cli.applying import require_output
from graphreg.cli.console import say, warn
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.io import read_landmarks, read_transform, read_volume, write_points
from graphreg.io.exports import LAYOUTS, require_layout, write_field
from graphreg.io.files import require_suffix

POINTS = "points"
SIDES = ("fixed", "moving")

Input = Annotated[
    Path,
    typer.Argument(metavar="INPUT", help="transform.h5 of a result; for points keypoints.csv, or a .csv of landmarks."),
]
Out = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        help="File to write: for itk .nii.gz, .nii, .mha or .nrrd; for ants and learn2reg .nii.gz; for slicer .nrrd; "
        "for points .csv, .fcsv or .mrk.json.",
    ),
]
As = Annotated[str, typer.Option("--as", metavar="LAYOUT", help=f"One of {', '.join((*LAYOUTS, POINTS))}.")]
Fixed = Annotated[
    Path | None, typer.Option(metavar="IMAGE", help="Write the field on the grid of FIXED; learn2reg needs it.")
]
Moving = Annotated[Path | None, typer.Option(metavar="IMAGE", help="The scan MOVING; learn2reg alone needs it.")]
Side = Annotated[str | None, typer.Option(metavar="SIDE", help="fixed or moving: which points of the pairs to write.")]


def export(
    source: Input,
    out: Out,
    layout: As,
    fixed: Fixed = None,
    moving: Moving = None,
    side: Side = None,
    debug: options.Debug = False,
) -> None:
    """Write a transform or its keypoints for other programs.

    itk: a vector image, LPS mm. ants: the same as ANTs calls a warp. slicer: a transform that 3D Slicer opens.
    learn2reg: disp_*.nii.gz in voxels, as the evaluator of the challenge reads it. points: one side of the pairs of a
    .csv file, LPS mm. Every field maps points of the fixed to the moving image.
    """
    if layout == POINTS:
        _export_points(source, out, side, (fixed, moving))
    else:
        _export_field(source, out, layout, fixed, moving, side)


def _export_points(source: Path, out: Path, side: str | None, images: tuple[Path | None, ...]) -> None:
    require_suffix(out, (".csv", ".fcsv", ".mrk.json"))
    if side not in SIDES:
        raise InputError(f"--side: {' or '.join(SIDES)} needed for points, found {side or 'nothing'}")
    if any(images):
        raise InputError("--fixed, --moving: no image needed for points, found one")
    require_output(out, source)
    pairs = read_landmarks(source)
    points_mm = pairs.fixed_mm if side == "fixed" else pairs.moving_mm
    write_points(out, points_mm)
    say(f"{len(points_mm)} points of the {side} image, LPS mm: {out}")


def _export_field(
    source: Path, out: Path, layout: str, fixed: Path | None, moving: Path | None, side: str | None
) -> None:
    if layout not in LAYOUTS:
        raise InputError(f"--as: one of {', '.join((*LAYOUTS, POINTS))} needed, found '{layout}'")
    require_layout(out, layout)
    if side:
        raise InputError(f"--side: nothing needed for {layout}, found {side}")
    if layout == "learn2reg" and not (fixed and moving):
        found = "one of them" if fixed or moving else "neither"
        raise InputError(f"{out}: --fixed and --moving needed for learn2reg, found {found}")
    require_output(out, source, *filter(None, (fixed, moving)))
    field = read_transform(source)
    grids = [read_volume(image).grid if image else None for image in (fixed, moving)]
    if grids[0]:
        _warn_of_gaps(field.grid, grids[0], fixed)
    write_field(field, out, layout, *grids)
    say(f"{source} as {layout} has it: {out}")


def _warn_of_gaps(known: Grid, wanted: Grid, image: Path | None) -> None:
    if not bool(known.contains(wanted.corners_mm()).all()):
        warn(f"{image} reaches beyond the field, whose border value goes on there")
