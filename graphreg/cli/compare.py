"""``graphreg compare``: two studies, case by case."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphreg.cli import options
from graphreg.cli.console import say, warn

if TYPE_CHECKING:
    from graphreg.study.comparison import Comparison

StudyA = Annotated[Path, typer.Argument(metavar="STUDY_A", help="OUT of 'graphreg study'.")]
StudyB = Annotated[Path, typer.Argument(metavar="STUDY_B", help="Another one, of the same cases.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures to this file, too.")]


def compare(study_a: StudyA, study_b: StudyB, json_file: Json = None, debug: options.Debug = False) -> None:
    """Compare two studies case by case.

    Prints the mean error in mm of each case in both, their difference B - A (negative: B is better) with its 95 %
    confidence interval over cases, and p of the paired Wilcoxon test over cases and over landmarks. Landmarks of one
    case depend on each other, so that theirs is too small.
    """
    from graphreg.io.files import require_writable
    from graphreg.study.comparison import compare

    if json_file:
        require_writable(json_file)
    found = compare(study_a, study_b)
    for line in _lines(found):
        say(line)
    if found.skipped:
        warn(f"not in both studies with the same landmarks: {', '.join(f'{c} ({name})' for c, name in found.skipped)}")
    if json_file:
        _write(json_file, study_a, study_b, found)


def _write(json_file: Path, study_a: Path, study_b: Path, found: Comparison) -> None:
    from graphreg import __version__
    from graphreg.io.json_text import write_json

    cases = [asdict(case) | {"difference_mm": case.difference_mm} for case in found.cases]
    about = {"graphreg": __version__, "a": str(study_a), "b": str(study_b)}
    write_json(json_file, {**about, **asdict(found), "cases": cases})


def _lines(found: Comparison) -> list[str]:
    width = max(len("case"), *(len(f"{case.case}, {case.landmark_set}") for case in found.cases))
    lines = [f"{'mean TRE [mm]':<{max(width, 14)}}{'A':>8}{'B':>8}{'B - A':>8}"]
    for case in found.cases:
        name = f"{case.case}, {case.landmark_set}"
        lines.append(f"{name:<{max(width, 14)}}{case.a_mm:8.2f}{case.b_mm:8.2f}{case.difference_mm:+8.2f}")
    for group in found.sets:
        interval = group.interval_mm
        sure = f" (95 % interval {interval[0]:+.2f} to {interval[1]:+.2f})" if interval else ""
        cases = "" if group.p_cases is None else f"p {group.p_cases:.3g} over {group.cases} cases, "
        lines.append(
            f"{group.landmark_set}: {group.a_mm:.2f} -> {group.b_mm:.2f} mm, {group.difference_mm:+.2f} mm{sure}; "
            f"Wilcoxon {cases}p {_p(group.p_landmarks)} over {group.landmarks} landmarks"
        )
    return lines


def _p(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
