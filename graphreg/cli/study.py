"""``graphreg study``: a whole data set registered and scored."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphreg.cli import options
from graphreg.cli.console import FAILED, progress_bar, say, warn
from graphreg.core.errors import InputError

if TYPE_CHECKING:
    from graphreg.runtime.monitor import Progress
    from graphreg.study.runner import Advance, StudyOutcome

Source = Annotated[
    Path, typer.Argument(metavar="MANIFEST|FOLDER", help="Table of cases (.csv, .json), or folder of a known data set.")
]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for all results, new or empty.")]
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


def study(
    source: Source,
    out: Out,
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
    from graphreg.cli.settings import settings_of
    from graphreg.io.datasets import read_dataset
    from graphreg.runtime.malloc import keep_freed_memory
    from graphreg.study.runner import run_study

    dataset = read_dataset(source)
    settings = settings_of(preset, config, regulariser, not no_refinement)
    with progress_bar(quiet) as bar:
        others: dict[str, Any] = {"dask": dask, "resources": amounts(resource), "seed": seed}
        others |= {"devices": devices.split(","), "prepare": keep_freed_memory}
        done = run_study(dataset, settings, out, workers, resume, case, _listener(bar), **others)
    _tell(done, len(dataset.cases), quiet)
    if done.failures:
        raise typer.Exit(FAILED)


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


def _tell(done: StudyOutcome, total: int, quiet: bool) -> None:
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
