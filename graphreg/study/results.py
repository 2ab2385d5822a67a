"""A study folder: what may be put into it, and what it holds.

OUT/study.json tells what was asked for, OUT/NAME holds the result of each case, or failure.json.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.io.datasets.case import can_name_folder
from graphreg.io.files import require_writable
from graphreg.io.json_text import parse_json, plain
from graphreg.runs.claim import LOCK
from graphreg.study.score import read_errors, read_figures
from graphreg.study.task import FAILURE, Failure

STUDY, RESULTS, SUMMARY, TABLES, LATEX = "study.json", "results.csv", "summary.json", "tables.md", "tables.tex"
SAME = ("graphreg", "dataset", "configuration", "seed")  # what all cases of a study share


@dataclass(frozen=True, eq=False)
class Scored:
    """A finished case."""

    name: str
    figures: Mapping[str, Any]
    errors: Mapping[str, Mapping[str, Tensor]]  # landmark set -> column of errors.csv -> (M,), mm


def read_study(out: Path) -> dict[str, Any]:
    """study.json of a folder. Raises InputError."""
    try:
        found = parse_json((out / STUDY).read_text(encoding="utf-8"))
        study = {**found, "cases": [{**case, "name": str(case["name"])} for case in found["cases"]]}
    except OSError as error:
        raise InputError(f"{out}: the folder of a study with {STUDY} needed, found {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{out / STUDY}: the record of a study needed, found other content") from error
    for name in (case["name"] for case in study["cases"]):
        if name == ".." or not name or Path(name).name != name:
            raise InputError(f"{out / STUDY}: names of cases that are folders of the study needed, found '{name[:80]}'")
    return study


def read_scored(out: Path, names: Sequence[str]) -> list[Scored]:
    """The finished cases among those of these names, in their order."""
    scored = []
    for name in names:
        figures = None if (out / name / FAILURE).exists() else read_figures(out / name)
        if figures is not None:
            scored.append(Scored(name, figures, read_errors(out / name)))
    return scored


def read_failures(out: Path, names: Sequence[str]) -> list[Failure]:
    """The failures among the cases of these names, in their order."""
    failures = []
    for name in names:
        try:
            found = parse_json((out / name / FAILURE).read_text(encoding="utf-8"))
        except OSError:
            continue
        failures.append(Failure(name, found["type"], found["message"]))
    return failures


def require_place(out: Path, about: Mapping[str, Any], resume: bool) -> None:
    """Raise InputError where a study cannot go: a folder with other files, or with a study that it does not go on."""
    require_writable(out, folder=True)
    if not (out / STUDY).exists():
        if out.exists() and any(path.name != LOCK for path in out.iterdir()):
            raise InputError(f"{out}: a new or empty folder needed for a study, found one with other files")
        return
    found, wanted = read_study(out), plain(about)
    if not any((out / case["name"]).exists() for case in found["cases"]):
        return  # it never came to its first case
    if not resume:
        raise InputError(f"{out}: a new or empty folder needed, found a study; --resume goes on with it")
    other = [key for key in SAME if found.get(key) != wanted[key]]
    if other:
        raise InputError(f"{out}: a study with the same {', '.join(other)} needed to go on with, found another")


def require_names(names: Sequence[str]) -> None:
    """Raise InputError for names of cases that cannot be folders of a study beside each other."""
    taken = {name.casefold() for name in (STUDY, RESULTS, SUMMARY, TABLES, LATEX)}
    wrong = []
    for name in names:
        if not can_name_folder(name) or name.casefold() in taken:
            wrong.append(name[:80])
        taken.add(name.casefold())
    if wrong:
        raise InputError(f"names of cases that folders can have, each one once, needed, found {', '.join(wrong)}")
