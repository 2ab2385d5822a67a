"""What a report is made from: a study folder, or the folder of one result, without its images.

Tables and records must be right; what is wrong in them is refused with its file and line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphreg.core.errors import PathInput, unsuitable
from graphreg.io.landmarks import PAIR
from graphreg.runs.results import RECORD
from graphreg.study.files import (
    ERRORS,
    RESULTS,
    STUDY,
    SUMMARY,
    Columns,
    Row,
    read_errors,
    read_json,
    read_study,
    read_table,
)
from graphreg.study.tables import Table, summary_tables

SHOWN = (*PAIR[:3], "before_mm", "after_mm")  # columns of errors.csv


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
class Contents:
    """Everything but the images."""

    title: str
    cases: list[Case]
    rows: list[Row]  # of the table of results
    tables: list[Table]  # of the summary
    failures: dict[str, str]
    about: dict[str, Any]  # configuration and versions


def contents_of(folder: PathInput) -> Contents:
    """What a folder holds. Raises InputError."""
    place = Path(folder)
    if (place / STUDY).is_file():
        return _study(place)
    if (place / RECORD).is_file():
        return _single(place)
    found = "neither" if place.is_dir() else "a file" if place.exists() else "nothing"
    raise unsuitable(folder, f"a folder with {STUDY} or {RECORD}", found)


def _study(folder: Path) -> Contents:
    content = read_study(folder)
    names = [case["name"] for case in content["cases"]]
    cases = [_read_case(name, folder / name) for name in names if (folder / name / RECORD).is_file()]
    done = {case.name for case in cases}
    failures = content["failures"]
    failures |= {name: "no result" for name in names if name not in done | set(failures)}
    rows = read_table(folder / RESULTS) if (folder / RESULTS).exists() else []
    tables = _summary(folder / SUMMARY) if (folder / SUMMARY).exists() else []
    title = f"Study of {content['dataset']}" if isinstance(content.get("dataset"), str) else "Study"
    about = {name: value for name, value in content.items() if name not in ("cases", "failures")}
    return Contents(title, cases, rows, tables, failures, about)


def _summary(path: Path) -> list[Table]:
    content = read_json(path)
    try:
        return summary_tables(content)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise unsuitable(path, "the summary of a study", "other JSON") from None


def _single(folder: Path) -> Contents:
    case = _read_case(folder.resolve().name, folder)
    row = {name: "" if value is None else str(value) for name, value in case.figures.items()}
    about: dict[str, Any] = {name: case.record[name] for name in ("graphreg", "torch", "preset") if name in case.record}
    return Contents(f"Registration {case.name}", [case], [{"case": case.name, **row}], [], {}, about)


def _read_case(name: str, folder: Path) -> Case:
    sets = read_errors(folder) if (folder / ERRORS).exists() else {}
    landmarks = [mark for name, columns in sets.items() for mark in _landmarks(name, columns)]
    return Case(name, folder, read_json(folder / RECORD), landmarks)


def _landmarks(name: str, columns: Columns) -> Iterator[Landmark]:
    for *fixed_mm, before, after in zip(*(columns[key].tolist() for key in SHOWN), strict=True):
        yield Landmark(name, tuple(fixed_mm), before, after)
