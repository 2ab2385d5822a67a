"""How much is worked on at once: what stays in the cache of a CPU, what fills a GPU without filling its memory.

No result depends on it beyond rounding.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

CACHED = 1 << 20  # numbers on a CPU: 4 MiB of float32
FILLING = 1 << 26  # on a GPU: 256 MiB
SMALLER = (1, 4, 16)  # parts of that, one trial each, where the memory of a GPU does not suffice

Result = TypeVar("Result")
_parts: ContextVar[int] = ContextVar("parts", default=1)


def rows(width: int, device: torch.device) -> int:
    """Rows of so many numbers each that are worked on at once, at least one."""
    return max((CACHED if device.type == "cpu" else FILLING // _parts.get()) // max(width, 1), 1)


@contextmanager
def single_thread() -> Iterator[None]:
    """For work on a CPU whose rounding would depend on the number of threads that share it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_smaller_parts(work: Callable[[], Result]) -> tuple[Result, int]:
    """What work gives, begun anew in smaller parts where a GPU runs out of memory; and how much smaller they were.

    Raises:
        torch.cuda.OutOfMemoryError: the smallest parts are too large as well.
    """
    for parts in SMALLER[:-1]:
        found = _tried(work, parts)
        if found is not None:
            return found[0], parts
        torch.cuda.empty_cache()  # of what the trial has left
    token = _parts.set(SMALLER[-1])
    try:
        return work(), SMALLER[-1]
    finally:
        _parts.reset(token)


def _tried(work: Callable[[], Result], parts: int) -> tuple[Result] | None:
    token = _parts.set(parts)
    try:
        return (work(),)
    except torch.cuda.OutOfMemoryError:
        return None  # and with the error goes what it held
    finally:
        _parts.reset(token)
