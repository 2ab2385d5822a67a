"""How much memory there is, and how the count of the highest is begun anew."""

import ctypes
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # cgroups(7)
RESET = "5"  # see clear_refs in proc(5)


def available_bytes(device: torch.device) -> float:
    """Memory that may still be taken; infinite where the system does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return min((math.inf, *_free(), *_allowed(), *_addresses()))


def _free() -> Iterator[float]:
    """What the machine has."""
    found = _table(Path("/proc/meminfo"))
    if "MemAvailable" in found:
        yield 1024 * (found["MemAvailable"] + found.get("SwapFree", 0))


def _allowed() -> Iterator[float]:
    """What the control groups of the process leave it, files that are only kept in memory aside."""
    try:
        groups = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in groups):
        root = GROUPS / ("memory" if controllers else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        if controllers not in ("", "memory"):
            continue
        place = root / path.lstrip("/")
        for group in (place, *place.parents):
            if group.is_relative_to(root):
                limit, used = (_number(group / name) for name in names)
                kept = _table(group / "memory.stat")
                yield limit - used + kept.get("inactive_file", 0) + kept.get("active_file", 0)


def _addresses() -> Iterator[float]:
    """What a limit of the process leaves it."""
    try:
        import resource  # not on Windows
    except ImportError:
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    statm = Path("/proc/self/statm")
    if limit != resource.RLIM_INFINITY and statm.exists():
        yield limit - int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _number(path: Path) -> float:
    """The number in a file; none is no limit, or nothing used."""
    try:
        text = path.read_text().strip()
    except OSError:
        return math.inf if "max" in path.name or "limit" in path.name else 0.0
    return math.inf if text == "max" else float(text)


def _table(path: Path) -> dict[str, int]:
    """Names and numbers, one pair in a line."""
    try:
        rows = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows}


def forget_peak() -> None:
    """Have the highest memory count from now on, where the system allows it: on Linux and on GPUs."""
    if torch.cuda.is_initialized():
        for gpu in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(gpu)
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before may still be held
    try:
        Path("/proc/self/clear_refs").write_text(RESET)
    except OSError:
        return
