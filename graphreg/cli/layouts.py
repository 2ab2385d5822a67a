"""What ``graphreg export`` writes: a field in the layout of another program, or one side of pairs of points."""

from pathlib import Path

from graphreg.cli.checks import require_output
from graphreg.cli.console import say, warn
from graphreg.cli.names import POINTS
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.io import read_landmarks, read_transform, write_points
from graphreg.io.exports import LAYOUTS, require_layout, write_field
from graphreg.io.files import require_suffix
from graphreg.io.images import read_grid

SIDES = ("fixed", "moving")


def export_points(source: Path, out: Path, side: str | None, images: tuple[Path | None, ...]) -> None:
    """The points of one side of the pairs in a file. Raises InputError."""
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


def export_field(
    source: Path, out: Path, layout: str, fixed: Path | None, moving: Path | None, side: str | None
) -> None:
    """The field of a transform as another program has it. Raises InputError."""
    _require_options(out, layout, (fixed, moving), side)
    require_output(out, source, *filter(None, (fixed, moving)))
    field = read_transform(source)
    grids = [read_grid(image) if image else None for image in (fixed, moving)]
    if grids[0]:
        _warn_of_gaps(field.grid, grids[0], fixed)
    write_field(field, out, layout, *grids)
    say(f"{source} as {layout} has it: {out}")


def _require_options(out: Path, layout: str, images: tuple[Path | None, ...], side: str | None) -> None:
    """Raise InputError where the options do not go together."""
    if layout not in LAYOUTS:
        raise InputError(f"--as: one of {', '.join((*LAYOUTS, POINTS))} needed, found '{layout}'")
    require_layout(out, layout)
    if side:
        raise InputError(f"--side: nothing needed for {layout}, found {side}")
    if layout == "learn2reg" and not all(images):
        found = "one of them" if any(images) else "neither"
        raise InputError(f"{out}: --fixed and --moving needed for learn2reg, found {found}")


def _warn_of_gaps(known: Grid, wanted: Grid, image: Path | None) -> None:
    if not bool(known.contains(wanted.corners_mm()).all()):
        warn(f"{image} reaches beyond the field, whose border value goes on there")
