"""The files of a study folder, each with one name and one reader.

OUT/study.json tells what was asked for; OUT/NAME holds the result of each case with errors.csv and figures.json, or
failure.json. What is wrong in them is refused with its file and line.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphreg.core.errors import unsuitable
from graphreg.io.fingerprints import fingerprint
from graphreg.io.json_text import parse_json
from graphreg.io.landmarks import PAIR
from graphreg.runs.results import RECORD

STUDY, RESULTS, SUMMARY, TABLES, LATEX = "study.json", "results.csv", "summary.json", "tables.md", "tables.tex"
ERRORS, FIGURES, FAILURE = "errors.csv", "figures.json", "failure.json"
KINDS = ("before", "after", "before_snapped", "after_snapped")
COLUMNS = ("landmark_set", *PAIR, *(f"{kind}_mm" for kind in KINDS))  # of errors.csv
NEEDED = COLUMNS[:9]  # without which errors tell nothing

Row = dict[str, str]
Columns = Mapping[str, Tensor]  # name -> (M,), float64


@dataclass(frozen=True)
class Failure:
    """Why a case has no result."""

    case: str
    type: str
    message: str


def read_study(out: Path) -> dict[str, Any]:
    """study.json of a folder, its cases with names that are folders in it. Raises InputError."""
    path = out / STUDY
    content = read_json(path)
    listed, failures = content.get("cases"), content.get("failures") or {}
    named = isinstance(listed, list) and all(isinstance(case, dict) and "name" in case for case in listed)
    if not isinstance(listed, list) or not named or not isinstance(failures, dict):
        raise unsuitable(path, "the record of a study, with cases that have names, and failures", "others")
    cases = [{**case, "name": str(case["name"])} for case in listed]
    for name in (case["name"] for case in cases):
        place = out / name
        if not name or name == ".." or Path(name).name != name or not place.resolve().is_relative_to(out.resolve()):
            raise unsuitable(path, "names of cases that are folders of the study", f"'{name[:80]}'")
    return {**content, "cases": cases, "failures": {name: str(why) for name, why in failures.items()}}


def read_errors(folder: Path) -> dict[str, Columns]:
    """errors.csv of a case: for each landmark set its columns of numbers. Raises InputError."""
    path = folder / ERRORS
    rows = [(row["landmark_set"], _numbers(path, line, row)) for line, row in _numbered(path, NEEDED)]
    sets = dict.fromkeys(name for name, _ in rows)
    return {name: _columns([numbers for own, numbers in rows if own == name]) for name in sets}


def read_figures(folder: Path) -> dict[str, Any] | None:
    """figures.json of a case; None where there is none, or that of another result."""
    try:
        figures = parse_json((folder / FIGURES).read_text(encoding="utf-8"))
        return figures if figures["of"]["result"] == fingerprint(folder / RECORD) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_failure(folder: Path) -> Failure | None:
    """failure.json of a case; None where there is none. Raises InputError."""
    path = folder / FAILURE
    if not path.exists():
        return None
    found = read_json(path)
    if not isinstance(found.get("type"), str) or not isinstance(found.get("message"), str):
        raise unsuitable(path, "the record of a failure", "other JSON")
    return Failure(folder.name, found["type"], found["message"])


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file. Raises InputError."""
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unsuitable(path, "a JSON file", error.strerror or "none") from None
    except ValueError:
        raise unsuitable(path, "JSON", "other text") from None
    if not isinstance(content, dict):
        raise unsuitable(path, "a JSON object", "other JSON")
    return content


def read_table(path: Path) -> list[Row]:
    """Rows of a csv file by the names in its header. Raises InputError."""
    return [row for _, row in _numbered(path)]


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, Tensor]:
    return {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in rows[0]}


def _numbers(path: Path, line: int, row: Row) -> dict[str, float]:
    """The cells of a row but the first, as numbers."""
    try:
        values = {name: float(row[name]) for name in COLUMNS[1:] if name in row}
    except ValueError:
        values = {"": math.nan}
    if not all(map(math.isfinite, values.values())):
        raise unsuitable(path, f"numbers in mm in line {line}", f"'{','.join(row.values())[:80]}'")
    return values


def _numbered(path: Path, needed: Sequence[str] = ()) -> list[tuple[int, Row]]:
    """Rows that are not blank with the numbers of their lines."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, cells) for cells in reader if any(cells)]
    except (OSError, ValueError, csv.Error):
        raise unsuitable(path, "a csv file", "one that cannot be read") from None
    header = lines[0][1] if lines else []
    if not header or len(set(header)) < len(header) or not set(needed) <= set(header):
        need = f"a header with {','.join(needed)}" if needed else "a header of different names"
        raise unsuitable(path, need, f"'{','.join(header)[:80]}'")
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            raise unsuitable(path, f"{len(header)} cells in line {line}", str(len(cells)))
    return [(line, dict(zip(header, cells, strict=True))) for line, cells in lines[1:]]
