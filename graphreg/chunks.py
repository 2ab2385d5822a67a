"""How much is worked on at once: what stays in the cache of a CPU, what fills a GPU without filling its memory.

No result depends on it beyond rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

CACHED = 1 << 20  # numbers on a CPU: 4 MiB of float32
FILLING = 1 << 26  # on a GPU: 256 MiB


def rows(width: int, device: torch.device) -> int:
    """Rows of so many numbers each that are worked on at once, at least one."""
    return max((CACHED if device.type == "cpu" else FILLING) // max(width, 1), 1)


@contextmanager
def single_thread() -> Iterator[None]:
    """For work on a CPU whose rounding would depend on the number of threads that share it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
