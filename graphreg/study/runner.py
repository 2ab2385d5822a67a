"""A study: every case of a data set registered and scored, here, in several processes, or on a cluster.

Interrupted at any point, it leaves finished cases finished, and goes on where it was with ``resume``.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from graphreg import __version__
from graphreg.config import RegistrationConfig, as_record
from graphreg.core.errors import InputError, PathInput
from graphreg.io import write_text
from graphreg.io.datasets import Case, DataSet
from graphreg.io.json_text import write_json
from graphreg.runs.claim import claim
from graphreg.runtime.devices import choose_device
from graphreg.study.cluster import on_cluster
from graphreg.study.files import LATEX, RESULTS, STUDY, SUMMARY, TABLES, Failure
from graphreg.study.predict import predict as registered
from graphreg.study.results import read_failures, read_scored, require_names, require_place
from graphreg.study.summary import results_table, rows_of, summarise_study
from graphreg.study.tables import latex, markdown, tables_of
from graphreg.study.task import Outcome, Predict, Task
from graphreg.study.workers import here, in_processes


@dataclass(frozen=True)
class Advance:
    """How far a study is."""

    done: int  # cases of this run, those that failed or were kept included
    total: int
    case: str  # that was done last; empty at the start
    failed: bool
    seconds_left: float | None  # None until one was computed


@dataclass(frozen=True, eq=False)
class StudyOutcome:
    """What OUT holds."""

    out: Path
    finished: tuple[str, ...]  # names of cases
    failures: tuple[Failure, ...]
    warnings: Mapping[str, Sequence[str]]  # of finished cases, why they should not be trusted
    summary: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the cases are worked on.

    Raises:
        InputError: less than one worker or device, an unknown device, or several for a cluster.
    """

    workers: int | None = None  # processes, else one for each device; 1 is this one
    devices: Sequence[str] = ("auto",)  # that they share
    dask: str | None = None  # address of a scheduler, in place of them
    resources: Mapping[str, float] | None = None  # that a case takes of a dask worker

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers must be at least 1, got {self.workers}")
        if not self.devices:
            raise InputError("devices must name at least one")
        for device in self.devices:
            choose_device("auto" if self.dask else device)
        if self.dask is not None and len(self.devices) > 1:
            raise InputError(f"one device for each dask worker needed, got {', '.join(self.devices)}")

    def work(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        """Outcomes as they come."""
        if self.dask is not None:
            return on_cluster(tasks, self.dask, self.resources)
        workers = len(self.devices) if self.workers is None else self.workers
        return in_processes(tasks, min(workers, len(tasks)), self.devices) if workers > 1 else here(tasks)


def run_study(
    dataset: DataSet,
    config: RegistrationConfig,
    out: PathInput,
    workers: int | None = None,
    resume: bool = False,
    cases: Sequence[str] | None = None,
    progress: Callable[[Advance], None] | None = None,
    *,
    dask: str | None = None,
    resources: Mapping[str, float] | None = None,
    devices: Sequence[str] = ("auto",),
    seed: int = 0,
    predict: Predict = registered,
    prepare: Callable[[], None] | None = None,
) -> StudyOutcome:
    """Register and score the cases, or those of the names in ``cases``, into a folder for each in ``out``.

    A case that fails is recorded and the others go on. The tables cover all cases of the data set that are finished in
    ``out``. ``predict`` may be a function of one's own; in several processes it must be importable.
    ``workers``, ``devices``, ``dask``, ``resources``: see Places.

    Raises:
        InputError: unknown cases, a folder that holds other things, an unknown scheduler, no such worker or device.
    """
    places = Places(workers=workers, devices=devices, dask=dask, resources=resources)
    folder = Path(out).absolute() if dask else Path(out)  # workers elsewhere have a working directory of their own
    about = {"graphreg": __version__, "torch": torch.__version__, "dataset": dataset.name, "seed": seed}
    about |= {"configuration": as_record(config), "devices": list(devices)}
    chosen = [_absolute(case) if dask else case for case in _chosen(dataset, cases)]
    tasks = [Task(case, config, folder / case.name, devices[0], seed, predict, prepare) for case in chosen]
    with claim(folder):
        require_place(folder, about, resume)
        write_outputs(folder, about, dataset)
        try:
            _follow(places.work(tasks), len(tasks), progress)
        finally:
            study = write_outputs(folder, about, dataset)
        return study


def write_outputs(out: Path, about: Mapping[str, Any], dataset: DataSet) -> StudyOutcome:
    """Tables of what is finished, whole or not at all, and study.json, in place of earlier ones."""
    names = [case.name for case in dataset.cases]
    scored, failures = read_scored(out, names), read_failures(out, names)
    summary = summarise_study(scored, int(about["seed"]))
    counts = {"cases": len(names), "finished": len(scored), "failed": len(failures)}
    states = dict.fromkeys(names, "unfinished") | dict.fromkeys((s.name for s in scored), "finished")
    states |= dict.fromkeys((failure.case for failure in failures), "failed")
    listed = {"cases": [{"name": name, "state": state} for name, state in states.items()]}
    told = {"failures": {failure.case: f"{failure.type}: {failure.message}" for failure in failures}}
    write_json(out / STUDY, {**about, **listed, **told})
    tables = tables_of(summary, rows_of(scored), failures)
    title = f"{dataset.name}: {len(scored)} of {len(names)} cases, graphreg {about['graphreg']}"
    write_text(out / RESULTS, results_table(scored))
    write_json(out / SUMMARY, {"graphreg": about["graphreg"], "dataset": dataset.name, **counts, **summary})
    write_text(out / TABLES, markdown(title, tables))
    write_text(out / LATEX, latex(title, tables))
    warnings = {case.name: [doubt["reason"] for doubt in case.figures["warnings"]] for case in scored}
    finished = tuple(case.name for case in scored)
    return StudyOutcome(
        out, finished, tuple(failures), {name: found for name, found in warnings.items() if found}, summary
    )


def _chosen(dataset: DataSet, names: Sequence[str] | None) -> list[Case]:
    require_names([case.name for case in dataset.cases])
    known = {case.name: case for case in dataset.cases}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise InputError(f"cases among {', '.join(known)} needed, found {', '.join(unknown)}")
    return [case for case in dataset.cases if not names or case.name in names]


def _absolute(case: Case) -> Case:
    return replace(case, inputs={role: path.absolute() for role, path in case.inputs.items()})


def _follow(outcomes: Generator[Outcome, None, None], total: int, progress: Callable[[Advance], None] | None) -> None:
    """Waits for all outcomes and tells of each; whatever happens, the workers are gone afterwards."""
    start, computed = time.monotonic(), 0
    tell = progress or (lambda _: None)
    tell(Advance(0, total, "", False, None))
    with closing(outcomes):
        for done, outcome in enumerate(outcomes, 1):
            computed += outcome.computed
            left = (time.monotonic() - start) / computed * (total - done) if computed else None
            tell(Advance(done, total, outcome.case, outcome.failure is not None, left))
