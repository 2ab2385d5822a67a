"""A study folder: what may be put into it, and the cases that it holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphreg.core.errors import InputError
from graphreg.io.datasets.case import can_name_folder
from graphreg.io.files import require_writable
from graphreg.io.json_text import plain
from graphreg.runs.claim import LOCK
from graphreg.study.files import (
    FAILURE,
    LATEX,
    RESULTS,
    STUDY,
    SUMMARY,
    TABLES,
    Columns,
    Failure,
    read_errors,
    read_failure,
    read_figures,
    read_study,
)

SAME = ("graphreg", "dataset", "configuration", "seed")  # what all cases of a study share


@dataclass(frozen=True, eq=False)
class Scored:
    """A finished case."""

    name: str
    figures: Mapping[str, Any]
    errors: Mapping[str, Columns]  # by landmark set, mm


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
    found = (read_failure(out / name) for name in names)
    return [failure for failure in found if failure is not None]


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
