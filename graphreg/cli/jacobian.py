"""``graphreg jacobian``: the change of volume that a transform tells, as a map."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options

MovingLungs = Annotated[
    Path | None, typer.Option("--moving-mask", metavar="FILE", help="Lungs of MOVING: their volume to compare with.")
]


def jacobian(
    transform: options.Transform,
    out: options.OutMaps,
    fixed: options.FixedOfMaps,
    fixed_mask: options.FixedLungs = None,
    moving_mask: MovingLungs = None,
    labels: options.Regions = None,
    smoothing_mm: options.Smoothing = 0.0,
    debug: options.Debug = False,
) -> None:
    """Map the change of volume from FIXED to MOVING.

    FOLDER gets, on the grid of FIXED, jacobian.nii.gz (moving over fixed volume of the tissue at every voxel) and
    log_jacobian.nii.gz with its picture; regions.csv, volumes in ml and their change in both lungs and in every label;
    jacobian.json, all figures.
    """
    from graphreg.cli.jacobian_maps import map_jacobian
    from graphreg.cli.maps import Sources

    map_jacobian(Sources(transform, fixed, None, fixed_mask, moving_mask, labels), out, smoothing_mm)
