"""A table of one's own pairs, .csv or .json, to a data set; every fault in it is told at once, before anything runs."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphreg.core.errors import InputError, PathInput, unsuitable
from graphreg.io.datasets.case import MAIN, SIDES, Case, DataSet, can_name_folder
from graphreg.io.datasets.dirlab import COUNT, published_scan
from graphreg.io.json_text import parse_json

LISTS = tuple(f"{side}_{MAIN}" for side in SIDES)
FILES = (*SIDES, "fixed_mask", "moving_mask", MAIN, *LISTS)
COLUMNS = ("case", *FILES)

Row = tuple[str, dict[str, Any]]  # where it stands, its cells


def read_manifest(path: PathInput) -> DataSet:
    """The pairs of a table with ``COLUMNS``, of which case, fixed and moving are needed. Raises InputError.

    Paths are relative to the folder of the table. A case named as one of DIR-Lab, with its 300 landmarks, is compared
    with what is published of it.
    """
    path = Path(path)
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    if not rows:
        raise unsuitable(path, "at least one case", "none")
    unknown = dict.fromkeys(str(key) for _, row in rows for key in row if key is not None and key not in COLUMNS)
    problems = [f"columns among {', '.join(COLUMNS)} needed, '{name}' found" for name in unknown]
    cases: list[Case] = []
    seen: set[str] = set()
    for where, row in rows:
        name, faults = _name_of(row)
        if name in seen:
            faults.append(f"another name than that of a case before needed, '{name}' found")
        seen.add(name)
        inputs = {key: path.parent / row[key] for key in FILES if isinstance(row.get(key), str) and row[key]}
        faults += _faults(row, inputs)
        cases.append(Case(name, inputs))
        faults += _faults_of_points(cases[-1]) if not faults else []
        problems += [f"{where}: {fault}" for fault in faults]
    if problems:
        raise InputError(f"{path}: {'; '.join(problems)}")
    return DataSet(path.stem, tuple(_compared(case) for case in cases))


def _csv_rows(path: Path) -> list[Row]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            return [(f"line {reader.line_num}", _stripped(row)) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise unsuitable(path, "a table of cases", "a file that cannot be read") from None


def _json_rows(path: Path) -> list[Row]:
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"))
        entries = content["cases"] if isinstance(content, dict) else content
        return [(f"case {number}", _stripped(dict(entry))) for number, entry in enumerate(entries, 1)]
    except (OSError, ValueError, TypeError, KeyError):
        raise unsuitable(path, "a list of cases, each an object with case, fixed and moving", "other content") from None


def _stripped(row: dict[str, Any]) -> dict[str, Any]:
    """Names and cells without blanks around them, cells that are left out removed."""
    pairs = ((key.strip() if key else key, v.strip() if isinstance(v, str) else v) for key, v in row.items())
    return {key: value for key, value in pairs if value is not None}


def _name_of(row: dict[str, Any]) -> tuple[str, list[str]]:
    """The name of the case, and what is wrong with it: folders are called by it."""
    name = str(row.get("case", ""))
    if not can_name_folder(name):
        return name, [f"case: a name that a folder can have needed, '{name[:80]}' found"]
    return name, []


def _faults(row: dict[str, Any], inputs: dict[str, Path]) -> Iterator[str]:
    if None in row:
        yield "as many cells as columns needed, more found"
    for key in FILES:
        if not isinstance(row.get(key, ""), str):
            yield f"{key}: a path needed, {row[key]} found"
    yield from (f"{key}: a file needed, nothing found" for key in SIDES if row.get(key, "") == "")
    yield from (f"{key}: a file needed, no {file} found" for key, file in inputs.items() if not file.exists())
    given = [key for key in LISTS if key in inputs]
    if len(given) == 1:
        yield f"{' and '.join(LISTS)} needed, {given[0]} alone found"
    if given and MAIN in inputs:
        yield f"either {MAIN} or {' and '.join(LISTS)} needed, both found"


def _faults_of_points(case: Case) -> list[str]:
    try:
        case.landmarks()
    except InputError as error:
        return [str(error)]
    return []


def _compared(case: Case) -> Case:
    """The case with the published error where its name and the number of its landmarks speak of DIR-Lab."""
    scan, pairs = published_scan(case.name), case.landmarks().get(MAIN)
    if scan is None or pairs is None or len(pairs.fixed_mm) != COUNT:
        return case
    return replace(case, published_identity_mm=scan.identity_mm)
