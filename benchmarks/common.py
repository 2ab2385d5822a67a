"""What the benchmarks share: folders of pairs, processes and what they cost, the machine, tables.

This module stays free of torch, and so of graphreg: a process starts with the memory of its parent on its account.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent
SIDES = ("fixed", "moving")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
NO_LIMIT_S = threading.TIMEOUT_MAX


# the command line, and files


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line that tells the head of its module as it stands there."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def cases(pairs: Path, holding: str = "fixed.nii.gz") -> list[Path]:
    """Folders of a data set that hold a pair, or that file of one."""
    return sorted(file.parent for file in pairs.glob(f"*/{holding}"))


def images(case: Path) -> list[Path]:
    """Files of the fixed and the moving image of a pair."""
    return [case / f"{side}.nii.gz" for side in SIDES]


def masks(case: Path) -> list[Path]:
    """Files of the masks of both."""
    return [case / f"{side}_mask.nii.gz" for side in SIDES]


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """JSON, where what stands in ``graphreg.io`` would bring torch."""
    file.write_text(json.dumps(content, indent=2) + "\n")


def kept_rows(file: Path) -> list[dict[str, Any]]:
    """Rows that an earlier run wrote to a file; none where there is no file."""
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"] if file.exists() else []
    return rows


# processes


def program(*arguments: object) -> list[str]:
    """The command line of graphreg with these arguments."""
    return [sys.executable, "-m", "graphreg", *map(str, arguments)]


def registration(case: Path, out: Path, *options: object, masked: bool = True) -> list[str]:
    """The command line that registers a pair, with its masks unless they are withheld."""
    given = [f"--{side}-mask={mask}" for side, mask in zip(SIDES, masks(case), strict=True)] if masked else []
    return program("register", *images(case), "-o", out, *given, *options)


@dataclass(frozen=True)
class Cost:
    """What a process took, from the start of its interpreter to its end."""

    seconds: float
    peak_mib: float  # highest memory
    exit_code: int


def measured(
    command: Sequence[str],
    threads: int,
    more: Mapping[str, str] | None = None,  # variables of its environment
    log: IO[bytes] | None = None,
    limit_s: float = NO_LIMIT_S,
) -> Cost:
    """A process on so many threads, killed with all that it has started at the limit, or where this one is stopped."""
    env = os.environ | dict.fromkeys(THREADS, str(threads)) | dict(more or {})
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=log, stderr=log and subprocess.STDOUT, env=env, start_new_session=True)
    timer = threading.Timer(limit_s, os.killpg, (process.pid, signal.SIGKILL))
    timer.daemon = True
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # it has a session of its own and would outlive us
        raise
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    peak_mib = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20
    return Cost(time.perf_counter() - start, peak_mib, process.returncode)


def settle(threads: int) -> None:
    """Keeps this process and its children to so many cores, and has them end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # raised, so that what is at work ends as well
    if hasattr(os, "sched_setaffinity"):  # Linux; children inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


# the machine


def environment(packages: Sequence[str]) -> dict[str, Any]:
    """The machine and the software that a number belongs to."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _installed(name) for name in packages},
        "commit": commit(),
    }


def machine() -> str:
    """What seconds of this process belong to, in a line."""
    import torch  # here alone, see above

    known = environment(("graphreg", "torch", "torch-geometric"))
    packages = [f"{name} {number}" for name, number in known["packages"].items()]
    places = f"{known['cpu']}, {torch.get_num_threads()} of {known['cores']} cores, {known['memory_gib']:.0f} GiB"
    return f"{', '.join(packages)}; commit {known['commit']}; {places}; {known['date'][:10]}"


def commit() -> str | None:
    """The commit of graphreg, marked where files differ from it; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def _cpu_model() -> str:
    """The name of the processor, as far as the system tells it."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _installed(package: str) -> str | None:
    """The version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# tables in Markdown


def header(columns: Sequence[str]) -> str:
    """The first two lines of a table."""
    return f"{line(columns)}\n{'|---' * len(columns)}|"


def line(cells: Iterable[object]) -> str:
    """One line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def markdown(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table."""
    return "\n".join((header(columns), *map(line, rows)))
