"""One case as a worker gets it: predicted, scored, and where that fails, recorded.  Task -> Outcome"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from graphreg import __version__
from graphreg.config import RegistrationConfig
from graphreg.core.errors import InputError
from graphreg.io.datasets import Case
from graphreg.io.json_text import write_json
from graphreg.runs.claim import claim
from graphreg.runtime.memory import forget_peak
from graphreg.study.files import FAILURE, Failure
from graphreg.study.score import score

PATIENCE_S = 60.0  # for a worker of a killed study, which ends with the next step of its case


class Predict(Protocol):
    """Brings a case to a folder with transform.h5 and, last, registration.json; tells whether it had to be computed."""

    def __call__(
        self, case: Case, config: RegistrationConfig, folder: Path, *, device: str, seed: int, resume: bool
    ) -> bool:
        """With ``resume``, a result of the same case and settings is kept."""


@dataclass(frozen=True)
class Task:
    """A case and all that is needed to work on it in another process."""

    case: Case
    config: RegistrationConfig
    folder: Path
    device: str
    seed: int
    predict: Predict
    prepare: Callable[[], None] | None = None  # called in each process before it works; twice does no harm


@dataclass(frozen=True)
class Outcome:
    """What became of a task."""

    case: str
    computed: bool = False  # rather than kept
    failure: Failure | None = None


def work(task: Task) -> Outcome:
    """Predict and score a case; a finished result of the same inputs and settings is kept. Failures are recorded."""
    try:
        with claim(task.folder, PATIENCE_S):
            return _work(task)
    except InputError as error:  # another process does not let go of the folder
        return failed(task, error)


def _work(task: Task) -> Outcome:
    (task.folder / FAILURE).unlink(missing_ok=True)
    forget_peak()
    try:
        computed = task.predict(
            task.case, task.config, task.folder, device=task.device, seed=task.seed, resume=True
        )  # a study that is not resumed starts in an empty folder; a retry of a lost task may find its result
        score(task.case, task.folder, task.config.anatomy)
    except Exception as error:  # of one case: it is recorded, and the others go on
        return failed(task, error)
    return Outcome(task.case.name, computed)


def prepared_work(task: Task) -> Outcome:
    """``work`` in a process that is made ready for it."""
    if task.prepare:
        task.prepare()
    return work(task)


def failed(task: Task, error: BaseException) -> Outcome:
    """The outcome of a task that ended with an error, of which failure.json in its folder then tells."""
    failure = Failure(task.case.name, type(error).__name__, " ".join(str(error).split()))
    record = {
        "graphreg": __version__,
        "case": failure.case,
        "type": failure.type,
        "message": failure.message,
        "traceback": traceback.format_exception(error),
    }
    write_json(task.folder / FAILURE, record)
    return Outcome(task.case.name, failure=failure)
