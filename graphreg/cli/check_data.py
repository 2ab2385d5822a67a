"""``graphreg check-data``: whether a data set is what its authors published."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options
from graphreg.cli.console import FAILED, say
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import Landmarks
from graphreg.io.datasets import Case, problems_of, read_dataset
from graphreg.io.datasets.causes import BLIND, agrees, likely_cause
from graphreg.io.datasets.dirlab import published_scan

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER|MANIFEST",
        help="Folder of DIR-Lab 4DCT or COPDgene, Learn2Reg LungCT or NLST, Lung250M-4B; or a .csv or .json with the "
        "columns case, fixed, moving and, as wanted, fixed_mask, moving_mask, landmarks, fixed_landmarks, "
        "moving_landmarks.",
    ),
]
HEADER = ("case", "size", "spacing [mm]", "landmarks", "identity TRE", "published", "difference")
Row = tuple[str, ...]


def check_data(folder_or_manifest: Source, debug: options.Debug = False) -> None:
    """Recognise a data set and compare it with what is published of it.

    Prints the size and spacing of each fixed image and the mean distance in mm of its landmarks without registration
    (identity TRE). Where that differs from the published value by more than 0.05 mm and half a percent, the likely
    cause is told. Headers and points are looked at, voxels are not.

    Exit codes: 0 all agree, 1 some differ, 2 the input is wrong.
    """
    dataset = read_dataset(folder_or_manifest)
    rows: list[Row] = []
    remarks: list[str] = []
    problems = problems_of(dataset)
    for case in dataset.cases:
        try:
            grids, sets = case.grids(), case.landmarks()
        except InputError:
            continue  # it is among the problems
        rows += _rows(case, grids[0], sets)
        remarks += _remarks(case, grids, sets)
    say(f"{dataset.name}: {len(dataset.cases)} case{'s' * (len(dataset.cases) != 1)}")
    for line in _table([HEADER, *rows]) + remarks:
        say(line)
    if remarks:
        say(f"not told here: {BLIND}")
    if problems:
        raise InputError("; ".join(problems))
    if remarks:
        raise typer.Exit(FAILED)


def _rows(case: Case, grid: Grid, sets: dict[str, Landmarks]) -> list[Row]:
    """A row of the table for each set of landmarks; the first is the one that figures are published of."""
    size, spacing = (" x ".join(f"{n:.6g}" for n in numbers) for numbers in (grid.shape[::-1], grid.spacing_mm))
    if not sets:
        return [(case.name, size, spacing, "none", "-", "-", "-")]
    rows: list[Row] = []
    for name, pairs in sets.items():
        found = _identity_mm(pairs)
        published = case.published_identity_mm if not rows else None
        figures = ("-", "-") if published is None else (f"{published:.2f}", f"{found - published:+.2f}")
        rows.append((case.name, size, spacing, f"{len(pairs.fixed_mm)} {name}", f"{found:.2f}", *figures))
    return rows


def _remarks(case: Case, grids: tuple[Grid, Grid], sets: dict[str, Landmarks]) -> list[str]:
    published, pairs = case.published_identity_mm, next(iter(sets.values()), None)
    if published is None or pairs is None or agrees(_identity_mm(pairs), published):
        return []
    scan = published_scan(case.name)
    return [f"{case.name} differs: {likely_cause(pairs, grids, scan) if scan else 'the cause is not known'}"]


def _identity_mm(pairs: Landmarks) -> float:
    return (pairs.moving_mm - pairs.fixed_mm).norm(dim=1).mean().item()


def _table(rows: list[Row]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 3  # figures are set to the right
    return [
        "  ".join(
            cell.rjust(width) if n >= last else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
