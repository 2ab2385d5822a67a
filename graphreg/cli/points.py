"""``graphreg points``: points of the fixed image taken to the moving one."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options
from graphreg.cli.console import say

Points = Annotated[Path, typer.Argument(metavar="POINTS", help="Points of the fixed image: .csv, .fcsv or .mrk.json.")]
Out = Annotated[
    Path, typer.Option("-o", "--out", metavar="FILE", help="Points to write, LPS mm: .csv, .fcsv or .mrk.json.")
]


def points(transform: options.Transform, points: Points, out: Out, debug: options.Debug = False) -> None:
    """Map points of FIXED to MOVING.

    All in mm. A .csv file has the columns x,y,z in LPS, unless its header is r,a,s; the files of 3D Slicer say whether
    they are LPS or RAS. What is written is LPS.
    """
    from graphreg.cli.checks import require_output, warn_of_strays
    from graphreg.io import read_points, read_transform, write_points
    from graphreg.io.files import require_suffix

    require_suffix(out, (".csv", ".fcsv", ".mrk.json"))
    require_output(out, transform, points)
    field, fixed_mm = read_transform(transform), read_points(points)
    warn_of_strays(field, fixed_mm)
    write_points(out, field(fixed_mm))
    say(f"{len(fixed_mm)} points mapped from the fixed to the moving image: {out}")
