"""``graphreg invert``: a transform the other way round."""

import math
from pathlib import Path
from typing import Annotated

import torch
import typer

from graphreg.cli import options
from graphreg.cli.applying import require_output
from graphreg.cli.console import say
from graphreg.core.errors import unsuitable
from graphreg.core.fields import jacobian_determinant
from graphreg.core.grid import sample
from graphreg.core.inversion import invert as inverse_of
from graphreg.io import read_mask, read_transform, read_volume, write_transform
from graphreg.io.files import require_suffix

FAR_MM = 0.1  # from the point that it should reach
SHARE = 0.001  # of the points that may be as far

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
    require_suffix(out, (".h5", ".hdf5"))
    require_output(out, transform, reference, *([mask] if mask else []))
    field, image = read_transform(transform), read_volume(reference)
    found = inverse_of(field, image.grid.with_spacing(spacing_mm))
    points_mm = image.grid.points_mm(field.displacement_mm)
    where = read_mask(mask, image.grid, reference) if mask else torch.ones(image.grid.shape, dtype=torch.bool)
    points_mm = points_mm[where]
    there_mm = found.field(points_mm)
    points_mm, there_mm = (p[field.grid.contains(there_mm)] for p in (points_mm, there_mm))
    if not len(points_mm):
        raise unsuitable(transform, f"a transform that leads to {mask or reference}", "one that leads elsewhere")
    apart = (field(there_mm) - points_mm).norm(dim=1)
    field_mm = field.grid.points_mm(field.displacement_mm)
    led_mm = field(field_mm[jacobian_determinant(field) <= 0])
    folded = sample(where[None].float(), image.grid, led_mm, outside=0.0, nearest=True).sum().item()
    lost = folded * math.prod(field.grid.spacing_mm) / (where.sum().item() * math.prod(image.grid.spacing_mm))
    lost += (sample(found.error_mm[None], found.field.grid, points_mm)[0] > FAR_MM).double().mean().item()
    if lost > SHARE:
        raise unsuitable(
            transform, "a transform with an inverse", f"one that has none at {100 * lost:.1f} % of {mask or reference}"
        )
    write_transform(found.field, out)
    say(f"there and back {apart.mean():.4f} mm apart on average, {apart.max():.2f} mm at most: {out}")
