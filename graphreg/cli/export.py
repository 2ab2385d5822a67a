"""``graphreg export``: a result in the formats of other programs."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options
from graphreg.cli.names import LAYOUTS, POINTS

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
    from graphreg.cli.layouts import export_field, export_points

    if layout == POINTS:
        export_points(source, out, side, (fixed, moving))
    else:
        export_field(source, out, layout, fixed, moving, side)
