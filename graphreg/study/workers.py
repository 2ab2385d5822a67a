"""Tasks in processes of this machine, which may die without the others.  Tasks -> Outcomes, as they come"""

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from graphreg.runtime.signals import answering
from graphreg.study.task import Outcome, Task, failed, prepared_work

PATIENCE_S = 10.0  # for a worker that was asked to stop


class WorkerDied(RuntimeError):
    """A worker process ended in the middle of a case."""


class _Worker:
    """A process, the way to it, its device, and the task it has."""

    def __init__(self, threads: int, device: str) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        with answering(signal.SIGINT, signal.SIG_IGN):  # the process does not hear Ctrl-C while it loads
            self.process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self.device = device
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = replace(task, device=self.device)
        self.connection.send(self.task)

    def take(self) -> Outcome:
        """The outcome of its task. Raises what is wrong with the study rather than the case."""
        assert self.task is not None
        task, self.task = self.task, None
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(PATIENCE_S)
            return failed(task, WorkerDied(f"its process ended with {_exit(self.process)}"))
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(PATIENCE_S)
        self.process.kill()
        self.process.join()
        self.connection.close()


def here(tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
    """One task after the other in this process."""
    yield from map(prepared_work, tasks)


def in_processes(tasks: Sequence[Task], workers: int, devices: Sequence[str]) -> Generator[Outcome, None, None]:
    """Tasks in so many processes, which share the devices and the threads of this one.

    All of them are gone when this ends in any way.
    """
    waiting = deque(tasks)
    threads = max(torch.get_num_threads() // workers, 1)
    crew: list[_Worker] = []
    try:
        while waiting or any(worker.task for worker in crew):
            while waiting and len(crew) < workers:
                crew.append(_Worker(threads, _freest(devices, crew)))
            for worker in crew:
                if waiting and not worker.task:
                    _hand_out(worker, waiting)
            busy: dict[Any, _Worker] = {worker.connection: worker for worker in crew if worker.task}
            for ready in wait(list(busy)):
                yield busy[ready].take()
            crew = _alive(crew)
    finally:
        for worker in crew:
            worker.process.terminate()  # all at once, then wait for each
        for worker in crew:
            worker.stop()


def _freest(devices: Sequence[str], crew: Sequence[_Worker]) -> str:
    """The first of the devices that have the fewest workers."""
    return min(devices, key=[worker.device for worker in crew].count)


def _hand_out(worker: _Worker, waiting: deque[Task]) -> None:
    task = waiting.popleft()
    try:
        worker.give(task)
    except BrokenPipeError:  # it died while it had nothing to do, or as it started: take() tells
        return


def _alive(crew: list[_Worker]) -> list[_Worker]:
    for worker in crew:
        if not worker.process.is_alive() and not worker.task:
            worker.stop()
    return [worker for worker in crew if worker.process.is_alive() or worker.task]


def _exit(process: BaseProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}, maybe for want of memory"
    return f"exit code {code}"


def _serve(connection: Connection, threads: int) -> None:
    """Works on what comes until nothing more does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    while True:
        answer: Outcome | Exception
        try:
            answer = prepared_work(connection.recv())
        except EOFError:
            return
        except Exception as error:  # a function that cannot be imported here, a failure that could not be recorded
            answer = RuntimeError(f"a worker cannot work: {type(error).__name__}: {error}")
        connection.send(answer)


def _leave_with_parent() -> None:
    """Ends a worker whose study was killed: what it works on may be begun anew."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(*_: object) -> None:
    """Ends the process as an error would, so that half files are removed; once, however often it is asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit
