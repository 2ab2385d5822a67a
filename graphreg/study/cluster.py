"""Tasks on a dask cluster, whose workers see the same files.  Tasks -> Outcomes, as they come

A worker that is lost loses nothing but time: its task goes to another one, which keeps what was finished. A case that
ends every worker takes those along that wait there; they are tried again by themselves.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from graphreg.core.errors import InputError
from graphreg.study.files import FIGURES
from graphreg.study.task import Outcome, Task, failed, prepared_work

RETRIES = 2
PATIENCE_S = 30.0  # for an answer of the scheduler
NEED = "dask is needed for --dask: pip install 'graphreg[dask]'"


def on_cluster(
    tasks: Sequence[Task], address: str, resources: Mapping[str, float] | None = None
) -> Generator[Outcome, None, None]:
    """One task per case on the workers of a scheduler; ``resources`` as its workers were started with.

    Raises:
        InputError: dask is not installed, or there is no scheduler at that address.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError(NEED) from error
    try:
        client = Client(address, set_as_default=False, timeout=PATIENCE_S)
    except (OSError, ValueError) as error:
        raise InputError(f"{address}: the address of a dask scheduler needed, found none that answers") from error
    with client:
        suspects = []
        for task, future in _finished(client, tasks, resources):
            if _lost_its_workers(future):
                suspects.append(task)
            else:
                yield _outcome(future, task)
        for suspect in suspects:  # whose workers another one may have ended: each by itself
            for task, future in _finished(client, [suspect], resources):
                yield _outcome(future, task)


def _finished(
    client: Any, tasks: Sequence[Task], resources: Mapping[str, float] | None
) -> Generator[tuple[Task, Any], None, None]:
    """Tasks and their futures as they are done; what waits is taken back where nobody wants the rest."""
    from distributed import as_completed

    run = uuid4().hex  # a key of its own: a result of an earlier study is none of this
    given = {"pure": False, "retries": RETRIES, "resources": dict(resources or {})}
    submitted = {client.submit(prepared_work, task, key=f"{task.case.name}-{run}", **given): task for task in tasks}
    try:
        for future in as_completed(list(submitted), loop=client.loop):
            yield submitted[future], future
    finally:
        client.cancel(list(submitted))  # what runs is finished and kept for a resumed study


def _lost_its_workers(future: Any) -> bool:
    from distributed.scheduler import KilledWorker

    return future.status == "error" and isinstance(future.exception(), KilledWorker)


def _outcome(future: Any, task: Task) -> Outcome:
    try:
        outcome: Outcome = future.result()
    except Exception as error:  # all workers that had it were lost, or the scheduler
        return failed(task, error)
    if outcome.failure is None and not (task.folder / FIGURES).exists():
        return failed(task, FileNotFoundError(f"{task.folder}: no result; the workers must see this folder, too"))
    return outcome
