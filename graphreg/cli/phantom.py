"""``graphreg phantom``: a pair of images with known motion."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options

Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the files.")]
Spacing = Annotated[
    tuple[float, float] | None,
    typer.Option(metavar="PLANE SLICES", help="Of both images, in mm; else 1.4 2.5 fixed and 1.5 2.0 moving."),
]
Many = Annotated[
    int | None, typer.Option("--study", metavar="N", min=1, help="N phantoms in folders, and their table manifest.csv.")
]


def phantom(
    out: Out,
    seed: options.PhantomSeed = 0,
    spacing: Spacing = None,
    many: Many = None,
    debug: options.Debug = False,
) -> None:
    """Make a breathing phantom with known motion.

    An inhale (fixed) and an exhale (moving) chest CT of nobody, and the exact motion between their lungs.

    Writes fixed.nii.gz and moving.nii.gz in HU, their lung masks fixed_mask.nii.gz and moving_mask.nii.gz,
    landmarks.csv (fixed and moving, LPS mm), jacobian.nii.gz (exact determinant of the motion in the fixed lungs, 1
    elsewhere) and phantom.json. With --study, N phantoms from seed on in folders seedK of OUT, and manifest.csv, the
    data set that 'graphreg study' reads.
    """
    from graphreg.cli.phantom_files import make_phantoms

    make_phantoms(out, seed, many, spacing)
