"""What a report is made from: a study folder, or the folder of one result, without its images.

Tables and records must be right; what is wrong in them is refused with its file and line.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphreg.core.errors import PathInput, unsuitable
from graphreg.io.json_text import parse_json
from graphreg.io.landmarks import PAIR
from graphreg.runs.results import RECORD
from graphreg.study.tables import Table, summary_tables

STUDY, RESULTS, SUMMARY, ERRORS = "study.json", "results.csv", "summary.json", "errors.csv"
NUMBERS = (*PAIR, "before_mm", "after_mm")

Row = dict[str, str]


@dataclass(frozen=True)
class Landmark:
    """A row of errors.csv."""

    landmark_set: str
    fixed_mm: tuple[float, ...]
    before_mm: float
    after_mm: float


@dataclass(frozen=True, eq=False)
class Case:
    """One registration of a study."""

    name: str
    folder: Path
    record: dict[str, Any]
    landmarks: list[Landmark]

    @property
    def figures(self) -> dict[str, Any]:
        """Time, count of keypoints and quality."""
        quality = self.record.get("quality")
        own: dict[str, Any] = {name: self.record[name] for name in ("seconds", "keypoints") if name in self.record}
        return own | (quality if isinstance(quality, dict) else {})

    @property
    def warnings(self) -> list[str]:
        """Why it should not be trusted."""
        listed = self.record.get("warnings")
        found = listed if isinstance(listed, list) else []
        return [str(doubt.get("reason")) for doubt in found if isinstance(doubt, dict)]


@dataclass(frozen=True, eq=False)
class Study:
    """Everything but the images."""

    title: str
    cases: list[Case]
    rows: list[Row]  # of the table of results
    tables: list[Table]  # of the summary
    failures: dict[str, str]
    about: dict[str, Any]  # configuration and versions


def read_study(folder: PathInput) -> Study:
    """What a folder holds. Raises InputError."""
    place = Path(folder)
    if (place / STUDY).is_file():
        return _study(place)
    if (place / RECORD).is_file():
        return _single(place)
    found = "neither" if place.is_dir() else "a file" if place.exists() else "nothing"
    raise unsuitable(folder, f"a folder with {STUDY} or {RECORD}", found)


def _study(folder: Path) -> Study:
    content = read_json(folder / STUDY)
    listed, failures = content.get("cases", []), content.get("failures") or {}
    fine = isinstance(listed, list) and all(isinstance(c, dict) and isinstance(c.get("name"), str) for c in listed)
    if not fine or not isinstance(failures, dict):
        raise unsuitable(folder / STUDY, "cases with names, and failures", "others")
    named = [(case["name"], _inside(folder, case["name"])) for case in listed]
    cases = [_read_case(name, place) for name, place in named if (place / RECORD).is_file()]
    done = {case.name for case in cases}
    failures |= {name: "no result" for name, _ in named if name not in done | set(failures)}
    rows = read_table(folder / RESULTS) if (folder / RESULTS).exists() else []
    tables = _summary(folder / SUMMARY) if (folder / SUMMARY).exists() else []
    title = f"Study of {content['dataset']}" if isinstance(content.get("dataset"), str) else "Study"
    about = {name: value for name, value in content.items() if name not in ("cases", "failures")}
    return Study(title, cases, rows, tables, {name: str(why) for name, why in failures.items()}, about)


def _summary(path: Path) -> list[Table]:
    content = read_json(path)
    try:
        return summary_tables(content)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise unsuitable(path, "the summary of a study", "other JSON") from None


def _single(folder: Path) -> Study:
    case = _read_case(folder.resolve().name, folder)
    row = {name: "" if value is None else str(value) for name, value in case.figures.items()}
    about: dict[str, Any] = {name: case.record[name] for name in ("graphreg", "torch", "preset") if name in case.record}
    return Study(f"Registration {case.name}", [case], [{"case": case.name, **row}], [], {}, about)


def _inside(folder: Path, name: str) -> Path:
    """The folder of a case, in that of its study whatever its name."""
    place = folder / name
    if not name or not place.resolve().is_relative_to(folder.resolve()) or place.resolve() == folder.resolve():
        raise unsuitable(folder / STUDY, "names of cases that are folders of the study", f"'{name[:80]}'")
    return place


def _read_case(name: str, folder: Path) -> Case:
    errors = folder / ERRORS
    return Case(name, folder, read_json(folder / RECORD), read_errors(errors) if errors.exists() else [])


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


def read_errors(path: Path) -> list[Landmark]:
    """Landmarks with their errors. Raises InputError."""
    landmarks = []
    for line, row in _numbered(path, ("landmark_set", *NUMBERS)):
        try:
            values = [float(row[name]) for name in NUMBERS]
        except ValueError:
            values = [math.nan]
        if not all(map(math.isfinite, values)):
            raise unsuitable(path, f"numbers in mm in line {line}", f"'{','.join(row.values())[:80]}'")
        landmarks.append(Landmark(row["landmark_set"], tuple(values[:3]), *values[-2:]))
    return landmarks


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
