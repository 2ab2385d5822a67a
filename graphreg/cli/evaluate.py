"""``graphreg evaluate``: a transform against landmarks."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import Tensor

from graphreg import __version__
from graphreg.analysis.metrics import TreSummary, summarise, tre, tre_snapped
from graphreg.analysis.quality import regularity
from graphreg.cli import options
from graphreg.cli.applying import warn_of_strays
from graphreg.cli.console import say
from graphreg.cli.overlap import overlap_by_label, overlap_lines, require_both
from graphreg.core.errors import InputError
from graphreg.core.records import DenseField, Landmarks
from graphreg.core.resampling import identity
from graphreg.io import read_landmark_lists, read_landmarks, read_mask, read_transform, read_volume
from graphreg.io.files import require_writable
from graphreg.io.json_text import write_json

LIST = "points in the same order, .csv, .fcsv or .mrk.json"
FixedLandmarks = Annotated[Path | None, typer.Option(metavar="A", help=f"Landmarks of the fixed image: {LIST}.")]
MovingLandmarks = Annotated[Path | None, typer.Option(metavar="B", help=f"Landmarks of the moving image: {LIST}.")]
Both = Annotated[
    Path | None,
    typer.Option("--landmarks", metavar="FILE", help="In place of the two: .csv with fixed_x,..,moving_z in LPS mm."),
]
FixedImage = Annotated[
    Path | None, typer.Option("--fixed", metavar="FIXED", help="Grid that --fixed-mask must lie on.")
]
MovingImage = Annotated[
    Path | None,
    typer.Option("--moving", metavar="MOVING", help="Its grid gives the snapped error: rounded to whole voxels."),
]
Mask = Annotated[
    Path | None, typer.Option("--fixed-mask", metavar="FILE", help="Lungs of FIXED: folding and SDlogJ inside them.")
]
FixedLabels = Annotated[
    Path | None, typer.Option("--fixed-labels", metavar="FILE", help="Whole numbers on the grid of the fixed image.")
]
MovingLabels = Annotated[
    Path | None,
    typer.Option("--moving-labels", metavar="FILE", help="The same structures in the moving image: Dice and HD95."),
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures to this file, too.")]
Errors = Callable[[Callable[[Tensor], Tensor]], Tensor]

COLUMNS = {"mean": "mean_mm", "sd": "sd_mm", "median": "median_mm", "p75": "p75_mm", "p95": "p95_mm", "max": "max_mm"}

NAMES = {"tre": "", "tre_snapped": ", snapped to voxels"}


def evaluate(
    transform: options.Transform,
    fixed_landmarks: FixedLandmarks = None,
    moving_landmarks: MovingLandmarks = None,
    landmarks: Both = None,
    fixed: FixedImage = None,
    moving: MovingImage = None,
    fixed_mask: Mask = None,
    fixed_labels: FixedLabels = None,
    moving_labels: MovingLabels = None,
    json_file: Json = None,
    debug: options.Debug = False,
) -> None:
    """Measure a transform with landmarks.

    Prints the target registration error (TRE) in mm before and after; with --fixed-mask folding and SDlogJ, too; with
    labels of both images the overlap (Dice) and the 95th percentile of the distance of surfaces (HD95) of each label.

    The error of a landmark is the distance in the moving image between where the transform takes the fixed landmark
    and its moving landmark; "before" is that of no motion at all.
    """
    if json_file:
        require_writable(json_file)
    require_both(fixed_labels, moving_labels)
    field, pairs = read_transform(transform), _landmarks(landmarks, fixed_landmarks, moving_landmarks)
    warn_of_strays(field, pairs.fixed_mm)
    errors = {"tre": _both(lambda motion: tre(motion, pairs), field)}
    if moving:
        grid = read_volume(moving).grid
        errors["tre_snapped"] = _both(lambda motion: tre_snapped(motion, pairs, grid), field)
    regularity = _regularity(field, fixed_mask, fixed) if fixed_mask else {}
    say(table({f"{when}{NAMES[kind]}": s for kind, both in errors.items() for when, s in both.items()}))
    overlap = overlap_by_label(field, fixed_labels, moving_labels)
    for line in (*_lines(regularity), *overlap_lines(overlap)):
        say(line)
    if json_file:
        figures = {kind: {when: asdict(s) for when, s in both.items()} for kind, both in errors.items()}
        write_json(
            json_file, {"graphreg": __version__, "transform": str(transform), **figures, **regularity, **overlap}
        )


def table(rows: dict[str, TreSummary]) -> str:
    """Figures in mm, a named row each, under a header."""
    width = max(map(len, rows)) + 1
    lines = [f"{'TRE [mm]':<{width}}" + "".join(f"{name:>8}" for name in COLUMNS) + f"{'> 5 mm':>10}"]
    for name, figures in rows.items():
        numbers = "".join(f"{getattr(figures, field):8.2f}" for field in COLUMNS.values())
        lines.append(f"{name:<{width}}{numbers}{100 * figures.above_5_mm:8.1f} %")
    return "\n".join(lines)


def _landmarks(both: Path | None, fixed: Path | None, moving: Path | None) -> Landmarks:
    if both and not (fixed or moving):
        return read_landmarks(both)
    if fixed and moving and not both:
        return read_landmark_lists(fixed, moving)
    raise InputError("either --landmarks or both --fixed-landmarks and --moving-landmarks are needed")


def _both(errors: Errors, field: DenseField) -> dict[str, TreSummary]:
    return {"before": summarise(errors(identity)), "after": summarise(errors(field))}


def _regularity(field: DenseField, mask_file: Path, fixed: Path | None) -> dict[str, Any]:
    """Figures of the Jacobian in the lungs."""
    grid = read_volume(fixed or mask_file).grid
    mask = read_mask(mask_file, grid, fixed or mask_file)
    try:
        return asdict(regularity(field, mask, grid))
    except ValueError as error:
        raise InputError(f"{mask_file}: {error}") from error


def _lines(regularity: dict[str, Any]) -> list[str]:
    if not regularity:
        return []
    return [
        f"in the lungs: folding {regularity['folding_percent']:.3f} %, SDlogJ {regularity['sdlogj']:.3f}, "
        f"mean Jacobian {regularity['mean_jacobian']:.3f}"
    ]
