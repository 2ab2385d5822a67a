"""The options that verbs share, each described once."""

import math
from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli.console import note_debug
from graphreg.cli.names import PRESETS, REGULARISERS

SEEDS = 2**63  # as torch takes them
IMAGE = "NIfTI, MetaImage or NRRD file, or folder of a DICOM series"


def finite(value: float) -> float:
    """Callback of lengths: NaN passes every comparison with limits."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no length")
    return value


Fixed = Annotated[Path, typer.Argument(metavar="FIXED", help=f"{IMAGE}; lungs in HU.")]
Moving = Annotated[Path, typer.Argument(metavar="MOVING", help="The scan to bring onto FIXED; formats as for FIXED.")]
Transform = Annotated[Path, typer.Argument(metavar="TRANSFORM", help="transform.h5 as 'graphreg register' writes it.")]

OutFolder = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the result.")]
FixedMask = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Region of FIXED (not zero), on its grid; else found automatically.")
]
MovingMask = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Region of MOVING, on its grid; else found automatically.")
]
Preset = Annotated[str, typer.Option(metavar="NAME", help=f"Settings to start from: {', '.join(PRESETS)}.")]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="Settings in place of those of the preset; lengths in mm.")
]
Regulariser = Annotated[
    str | None, typer.Option(metavar="NAME", help=f"One of {', '.join(REGULARISERS)}; else that of the settings.")
]
NoRefinement = Annotated[
    bool, typer.Option("--no-refinement", help="Leave out the refinement for this pair: quicker and less accurate.")
]
Symmetric = Annotated[
    bool,
    typer.Option("--symmetric", help="Do it both ways and write both motions, each the inverse of the other."),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="auto (CUDA where there is one, else CPU), cpu, cuda or cuda:N; mps is not supported yet."
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        metavar="N", min=-SEEDS, max=SEEDS - 1, help="Of the points that the refinement looks at in each step."
    ),
]
PhantomSeed = Annotated[int, typer.Option(metavar="N", min=0, help="Every number is another patient and breath.")]
Force = Annotated[bool, typer.Option("--force", help="Replace another result in OUT, once the new one is computed.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit code 1 where a warning says that the result should not be trusted.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress bar and no closing line; warnings remain.")]
Debug = Annotated[
    bool, typer.Option("--debug", callback=note_debug, is_eager=True, help="Show the traceback of an error.")
]

# of the verbs that write maps, which are of lungs
OutMaps = Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Folder for the maps.")]
FixedOfMaps = Annotated[Path, typer.Option(metavar="FIXED", help=f"The fixed image: {IMAGE}, in HU.")]
FixedLungs = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Lungs of FIXED (not zero), on its grid; else found automatically.")
]
MovingLungs = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Lungs of MOVING, on its grid; else found automatically.")
]
Regions = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Whole numbers on the grid of FIXED: a row of regions.csv each.")
]
Smoothing = Annotated[
    float,
    typer.Option(
        metavar="MM",
        min=0,
        max=100,
        callback=finite,
        help="Standard deviation of the Gaussian over the maps in the lungs.",
    ),
]
