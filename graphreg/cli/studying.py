"""``graphreg study`` and ``graphreg compare``: a whole data set, and two methods on it."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from graphreg import __version__
from graphreg.cli import options
from graphreg.cli.console import FAILED, progress_bar, say, warn
from graphreg.core.errors import InputError
from graphreg.io.datasets import read_dataset
from graphreg.io.files import require_writable
from graphreg.io.json_text import write_json
from graphreg.runtime.malloc import keep_freed_memory
from graphreg.runtime.monitor import Progress
from graphreg.study.comparison import Comparison
from graphreg.study.comparison import compare as compare_studies
from graphreg.study.runner import Advance, Study, run_study

Source = Annotated[
    Path, typer.Argument(metavar="MANIFEST|FOLDER", help="Table of cases (.csv, .json), or folder of a known data set.")
]
OutStudy = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for all results, new or empty.")]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Cases at a time, each in a process of its own; else one for each device."),
]
Devices = Annotated[
    str,
    typer.Option(
        "--devices", "--device", metavar="NAME,...", help="auto, cpu, cuda, or several GPUs that workers take in turn."
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Dask scheduler, tcp://HOST:PORT, whose workers see the same files."),
]
Resources = Annotated[
    list[str] | None,
    typer.Option(
        "--resource",
        metavar="NAME=AMOUNT",
        help="What a case takes of a Dask worker started with --resources, such as GPU=1; may be given several times.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the study in OUT; what is finished is kept.")]
Cases = Annotated[
    list[str] | None, typer.Option("--case", metavar="NAME", help="Only this case; may be given several times.")
]
StudyA = Annotated[Path, typer.Argument(metavar="STUDY_A", help="OUT of 'graphreg study'.")]
StudyB = Annotated[Path, typer.Argument(metavar="STUDY_B", help="Another one, of the same cases.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures to this file, too.")]


def study(
    source: Source,
    out: OutStudy,
    workers: Workers = None,
    devices: Devices = "auto",
    dask: Dask = None,
    resource: Resources = None,
    resume: Resume = False,
    case: Cases = None,
    preset: options.Preset = "inhale-exhale",
    config: options.Config = None,
    regulariser: options.Regulariser = None,
    no_refinement: options.NoRefinement = False,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Register and score every pair of a data set.

    OUT gets a folder for each case, with what 'graphreg register' writes, errors.csv (every landmark, mm) and
    figures.json; and of all cases results.csv, summary.json, tables.md, tables.tex and study.json.

    A case that fails gets failure.json and the others go on. Interrupted, it goes on with --resume.
    Exit codes: 0 all done, 1 a case failed, 2 the input or the options are wrong.
    """
    dataset = read_dataset(source)
    settings = options.settings_of(preset, config, regulariser, not no_refinement)
    with progress_bar(quiet) as bar:
        others: dict[str, Any] = {"dask": dask, "resources": amounts(resource), "seed": seed}
        others |= {"devices": devices.split(","), "prepare": keep_freed_memory}
        done = run_study(dataset, settings, out, workers, resume, case, _listener(bar), **others)
    _tell(done, len(dataset.cases), quiet)
    if done.failures:
        raise typer.Exit(FAILED)


def compare(study_a: StudyA, study_b: StudyB, json_file: Json = None, debug: options.Debug = False) -> None:
    """Compare two studies case by case.

    Prints the mean error in mm of each case in both, their difference B - A (negative: B is better) with its 95 %
    confidence interval over cases, and p of the paired Wilcoxon test over cases and over landmarks. Landmarks of one
    case depend on each other, so that theirs is too small.
    """
    if json_file:
        require_writable(json_file)
    found = compare_studies(study_a, study_b)
    for line in _lines(found):
        say(line)
    if found.skipped:
        warn(f"not in both studies with the same landmarks: {', '.join(f'{c} ({name})' for c, name in found.skipped)}")
    if json_file:
        cases = [asdict(case) | {"difference_mm": case.difference_mm} for case in found.cases]
        about = {"graphreg": __version__, "a": str(study_a), "b": str(study_b)}
        write_json(json_file, {**about, **asdict(found), "cases": cases})


def amounts(resources: list[str] | None) -> dict[str, float]:
    """Amounts by name. Raises InputError for what is no name and number above 0."""
    found = {}
    for text in resources or ():
        name, _, amount = text.partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            found[name] = math.nan
        if not (name and 0 < found[name] < math.inf):
            raise InputError(f"--resource: NAME=AMOUNT with a number above 0 needed, found {text}")
    return found


def _listener(bar: Progress | None) -> Callable[[Advance], None] | None:
    """What draws the progress of a study, or None where nobody looks."""
    if bar is None:
        return None

    def draw(advance: Advance) -> None:
        left = "" if advance.seconds_left is None else f", {duration(advance.seconds_left)} left"
        bar(f"{advance.done} of {advance.total} cases{left}", advance.done / advance.total)

    return draw


def duration(seconds: float) -> str:
    """A time as one would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _tell(done: Study, total: int, quiet: bool) -> None:
    for failure in done.failures:
        warn(f"{failure.case}: {failure.type}: {failure.message}")
    for name, reasons in done.warnings.items():
        for reason in reasons:
            warn(f"{name}: {reason}")
    if quiet:
        return
    for name, found in done.summary["errors"].items():
        before, after = (found["over_landmarks"][kind] for kind in ("before", "after"))
        say(
            f"{name}: {before['mean_mm']:.2f} -> {after['mean_mm']:.2f} ± {after['sd_mm']:.2f} mm over "
            f"{after['count']} landmarks of {found['over_cases']['after']['count']} cases"
        )
    say(f"{len(done.finished)} of {total} cases are finished, {len(done.failures)} failed: {done.out}")


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
