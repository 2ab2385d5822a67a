"""``graphreg ventilation``: where air came in, as maps."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options
from graphreg.cli.names import VENTILATION_SMOOTHING_MM, Phase

Moving = Annotated[Path, typer.Option(metavar="MOVING", help="The moving image; formats as for FIXED.")]
FixedPhase = Annotated[Phase, typer.Option("--phase", help="What FIXED is; auto: inhale if its lungs are the larger.")]


def ventilation(
    transform: options.Transform,
    out: options.OutMaps,
    fixed: options.FixedOfMaps,
    moving: Moving,
    fixed_mask: options.FixedLungs = None,
    moving_mask: options.MovingLungs = None,
    labels: options.Regions = None,
    phase: FixedPhase = Phase.AUTO,
    smoothing_mm: options.Smoothing = VENTILATION_SMOOTHING_MM,
    debug: options.Debug = False,
) -> None:
    """Map where air came in, from exhale to inhale.

    FOLDER gets ventilation_NAME.nii.gz and .png on the grid of FIXED, (inhale - exhale) / exhale whichever FIXED is.
    NAME is jac and integrated, of the volume of tissue; hu, hu_mass (corrected for the change of mass) and sacj (HU and
    Jacobian), of its air. 0 is no value. regions.csv has both lungs and every label; ventilation.json all figures.
    """
    from graphreg.cli.maps import Sources
    from graphreg.cli.ventilation_maps import map_ventilation

    sources = Sources(transform, fixed, moving, fixed_mask, moving_mask, labels)
    map_ventilation(sources, out, phase, smoothing_mm)
