"""What the process does with memory that it has freed."""

import ctypes
import platform

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8  # of malloc.h


def keep_freed_memory() -> None:
    """Have glibc keep large blocks for the next ones of their kind.

    By default it hands each back to the system, which must clear every page of the next: a third of a run went there.
    Threads share one store, so that none keeps blocks from the others. Other C libraries are left as they are. For a
    program of its own, not for a library to decide.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 1 << 26), (ARENA_MAX, 1)):
            libc.mallopt(parameter, value)
