"""``graphreg check-data``: whether a data set is what its authors published."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options
from graphreg.cli.console import FAILED

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER|MANIFEST",
        help="Folder of DIR-Lab 4DCT or COPDgene, Learn2Reg LungCT or NLST, Lung250M-4B; or a .csv or .json with the "
        "columns case, fixed, moving and, as wanted, fixed_mask, moving_mask, landmarks, fixed_landmarks, "
        "moving_landmarks.",
    ),
]


def check_data(folder_or_manifest: Source, debug: options.Debug = False) -> None:
    """Recognise a data set and compare it with what is published of it.

    Prints the size and spacing of each fixed image and the mean distance in mm of its landmarks without registration
    (identity TRE). Where that differs from the published value by more than 0.05 mm and half a percent, the likely
    cause is told. Headers and points are looked at, voxels are not.

    Exit codes: 0 all agree, 1 some differ, 2 the input is wrong.
    """
    from graphreg.cli.published import agrees_with_published

    if not agrees_with_published(folder_or_manifest):
        raise typer.Exit(FAILED)
