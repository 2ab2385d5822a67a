"""``graphreg evaluate``: a transform against landmarks."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options

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
    Path | None, typer.Option("--fixed-mask", metavar="FILE", help="Region of FIXED: folding and SDlogJ inside it.")
]
FixedLabels = Annotated[
    Path | None, typer.Option("--fixed-labels", metavar="FILE", help="Whole numbers on the grid of the fixed image.")
]
MovingLabels = Annotated[
    Path | None,
    typer.Option("--moving-labels", metavar="FILE", help="The same structures in the moving image: Dice and HD95."),
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures to this file, too.")]


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
    from graphreg.cli.evaluation import Evaluation
    from graphreg.io.files import require_writable

    if json_file:
        require_writable(json_file)
    files = fixed_landmarks, moving_landmarks, landmarks, fixed, moving, fixed_mask, fixed_labels, moving_labels
    Evaluation(transform, *files).tell(json_file)
