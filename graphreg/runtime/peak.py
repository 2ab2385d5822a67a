"""The highest memory of one case, in a process that has worked on others."""

import ctypes
import platform
from pathlib import Path

import torch

RESET = "5"  # see clear_refs in proc(5)


def forget_peak() -> None:
    """Have the highest memory count from now on, where the system allows it: on Linux and on GPUs."""
    if torch.cuda.is_initialized():
        for gpu in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(gpu)
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)  # what earlier cases have freed may still be held
    try:
        Path("/proc/self/clear_refs").write_text(RESET)
    except OSError:
        return
