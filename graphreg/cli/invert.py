"""``graphreg invert``: a transform the other way round."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options
from graphreg.cli.console import say

Out = Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="Transform to write, moving to fixed: .h5.")]
Reference = Annotated[Path, typer.Option(metavar="MOVING", help="The image over which it is wanted: the moving one.")]
Mask = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Where it must be right, on the grid of MOVING, as its lungs.")
]
Spacing = Annotated[
    float,
    typer.Option(metavar="MM", min=0.1, max=100, callback=options.finite, help="Spacing of the field that is written."),
]


def invert(
    transform: options.Transform,
    out: Out,
    reference: Reference,
    mask: Mask = None,
    spacing_mm: Spacing = 2.0,
    debug: options.Debug = False,
) -> None:
    """Turn a transform round: from MOVING to FIXED.

    Prints how far a point of MOVING is from itself after it went there and back, on average and at most, in the mask or
    wherever TRANSFORM leads. A transform that folds there has no inverse and is refused.
    """
    from graphreg.cli.checks import require_output
    from graphreg.cli.inversion import turn_round
    from graphreg.io import write_transform
    from graphreg.io.files import require_suffix

    require_suffix(out, (".h5", ".hdf5"))
    require_output(out, transform, reference, *([mask] if mask else []))
    field, apart_mm = turn_round(transform, reference, mask, spacing_mm)
    write_transform(field, out)
    say(f"there and back {apart_mm.mean():.4f} mm apart on average, {apart_mm.max():.2f} mm at most: {out}")
