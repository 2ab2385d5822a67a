"""What ``graphreg check-data`` tells: a data set beside what is published of it."""

from pathlib import Path

from graphreg.cli.console import say
from graphreg.cli.tables import aligned
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import Landmarks
from graphreg.io.datasets import Case, DataSet, problems_of, read_dataset
from graphreg.io.datasets.causes import BLIND, agrees, likely_cause
from graphreg.io.datasets.dirlab import published_scan

HEADER = ("case", "size", "spacing [mm]", "landmarks", "identity TRE", "published", "difference")
FIGURES = 3  # columns at the end

Row = tuple[str, ...]


def agrees_with_published(folder_or_manifest: Path) -> bool:
    """Tells of all cases; whether nothing differs. Raises InputError where files are missing or wrong."""
    dataset = read_dataset(folder_or_manifest)
    problems = problems_of(dataset)
    rows, remarks = _compared(dataset)
    say(f"{dataset.name}: {len(dataset.cases)} case{'s' * (len(dataset.cases) != 1)}")
    for line in aligned([HEADER, *rows], FIGURES) + remarks:
        say(line)
    if remarks:
        say(f"not told here: {BLIND}")
    if problems:
        raise InputError("; ".join(problems))
    return not remarks


def _compared(dataset: DataSet) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    remarks: list[str] = []
    for case in dataset.cases:
        try:
            grids, sets = case.grids(), case.landmarks()
        except InputError:
            continue  # it is among the problems
        rows += _rows(case, grids[0], sets)
        remarks += _remarks(case, grids, sets)
    return rows, remarks


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
