"""graphreg beside the registration programs of PyPI on a folder of pairs, in two steps.

PAIRS is a folder of pairs as in ``accuracy.py``. ``predict`` runs every method on every pair, each in a process of its
own on the same number of cores, and keeps OUT/METHOD/PAIR with transform.h5, log.txt and run.json; no method sees the
landmarks. A run that succeeded with the same settings is kept. ``score`` reads OUT, prints a table and writes
OUT/results.json; a run that failed or is missing is in the table with its reason. usage:

    python benchmarks/peers.py predict PAIRS OUT [--method NAME ...] [--pair NAME ...] [--threads N] [--limit SECONDS]
                                                 [--no-masks] [--force]
    python benchmarks/peers.py score PAIRS OUT

Needs the peers: pip install -c constraints.txt -e ".[benchmark]"
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
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from peer_methods import METHODS

# This module stays free of torch: a process starts with the memory of its parent on its account.

HERE = Path(__file__).parent
INSTALL = 'pip install -c constraints.txt -e ".[benchmark]"'
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
PACKAGES = sorted({method.package for method in METHODS.values()} | {"torch", "numpy"})
SAME = ("method", "version", "commit", "settings", "masks", "threads")  # what decides a result and its cost


@dataclass(frozen=True)
class Limits:
    """What every run gets."""

    threads: int
    seconds: float


def main() -> None:
    """One of the two steps."""
    options = arguments().parse_args()
    if options.step == "score":
        from peer_score import score  # brings torch, which predict must not have

        score(options.pairs, options.out, environment())
        return
    methods, cases = options.method or list(METHODS), chosen(options.pairs, options.pair)
    require_packages(methods)
    limits = Limits(options.threads, options.limit)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that the run in progress ends as well
    if hasattr(os, "sched_setaffinity"):  # Linux; children inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: limits.threads])
    for case in cases:
        for method in methods:
            predict(method, case, options.out / method / case.name, not options.no_masks, options.force, limits)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    predicting, scoring = steps.add_parser("predict"), steps.add_parser("score")
    for step in (predicting, scoring):
        step.add_argument("pairs", type=Path)
        step.add_argument("out", type=Path)
    predicting.add_argument("--method", nargs="+", choices=list(METHODS), help="else all of them")
    predicting.add_argument("--pair", nargs="+", help="else all of them")
    predicting.add_argument("--threads", type=int, default=2, help="cores of every run")
    predicting.add_argument("--limit", type=float, default=1800.0, help="seconds after which a run counts as failed")
    predicting.add_argument("--no-masks", action="store_true", help="withhold the lung masks")
    predicting.add_argument("--force", action="store_true", help="repeat runs that are there already")
    return parser


def chosen(pairs: Path, names: list[str] | None) -> list[Path]:
    """Folders of a data set that hold a pair, all or those of the names."""
    found = {folder.parent.name: folder.parent for folder in sorted(pairs.glob("*/fixed.nii.gz"))}
    unknown = [name for name in names or [] if name not in found]
    if unknown or not found:
        sys.exit(f"{pairs}: needs the pairs {names or 'NAME/fixed.nii.gz'}, holds {', '.join(found) or 'none'}")
    return [found[name] for name in names or found]


def require_packages(methods: list[str]) -> None:
    """Leave with status 2 where a method cannot run."""
    for name in methods:
        try:
            version(METHODS[name].package)
        except PackageNotFoundError:
            print(f"{name} needs the package {METHODS[name].package}: {INSTALL}", file=sys.stderr)
            sys.exit(2)


def predict(name: str, case: Path, out: Path, masked: bool, force: bool, limits: Limits) -> None:
    """One method on one pair, unless the same run is there already."""
    method = METHODS[name]
    settings = json.loads(json.dumps(method.record))
    run: dict[str, Any] = {"method": name, "pair": case.name, "package": method.package}
    run |= {"version": version(method.package), "settings": settings, "masks": masked, "threads": limits.threads}
    own = method.package == "graphreg"
    run |= {"commit": commit() if own else None, "limit_s": limits.seconds}  # peers do not change with graphreg
    before = read_run(out)
    if not force and before and not before["error"] and all(before[key] == run[key] for key in SAME):
        print(f"{name} {case.name}: kept")
        return
    out.mkdir(parents=True, exist_ok=True)
    for stale in ("transform.h5", "run.json"):
        (out / stale).unlink(missing_ok=True)
    command = command_line(name, case, out, masked)
    run |= {"command": command, "environment": environment()}
    run |= measured(command, out, limits)
    (out / "run.json").write_text(json.dumps(run, indent=2) + "\n")
    print(f"{name} {case.name}: {run['error'] or 'done'}, {run['seconds']:.0f} s, {run['peak_mib']:.0f} MiB")


def read_run(out: Path) -> dict[str, Any] | None:
    """The record of a run, None where there is none."""
    record = out / "run.json"
    return json.loads(record.read_text()) if record.exists() else None


def command_line(name: str, case: Path, out: Path, masked: bool) -> list[str]:
    """What runs a method on a pair."""
    if METHODS[name].register is not None:
        options = [] if masked else ["--no-masks"]
        return [sys.executable, str(HERE / "peer_methods.py"), name, str(case), str(out), *options]
    masks = [f"--{side}-mask={case / side}_mask.nii.gz" for side in ("fixed", "moving")] if masked else []
    images = [str(case / f"{side}.nii.gz") for side in ("fixed", "moving")]
    preset = ["--preset", METHODS[name].settings["preset"], "--device", "cpu", "--force", "--quiet"]
    return [sys.executable, "-m", "graphreg", "register", *images, "-o", str(out), *masks, *preset]


def measured(command: list[str], out: Path, limits: Limits) -> dict[str, Any]:
    """Seconds from the start of the interpreter to its end, highest memory, exit code and the reason of a failure."""
    env = os.environ | dict.fromkeys(THREADS, str(limits.threads)) | {"CUDA_VISIBLE_DEVICES": ""}
    start = time.perf_counter()
    with open(out / "log.txt", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        timer = threading.Timer(limits.seconds, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        try:
            peak_mib = wait_for(process)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # it has a session of its own and would outlive us
            raise
        finally:
            timer.cancel()
    seconds = time.perf_counter() - start
    error = reason(process.returncode, seconds, limits, out)
    return {"seconds": seconds, "peak_mib": peak_mib, "exit_code": process.returncode, "error": error}


def wait_for(process: subprocess.Popen[bytes]) -> float:
    """Peak MiB of a process that this waits for; its exit code is in its ``returncode``."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20


def reason(exit_code: int, seconds: float, limits: Limits, out: Path) -> str | None:
    """Why a run failed, in a line."""
    if exit_code == 0:
        return None if (out / "transform.h5").exists() else "wrote no transform"
    if exit_code == -signal.SIGKILL and seconds >= limits.seconds:
        return f"over the limit of {limits.seconds:.0f} s"
    lines = (out / "log.txt").read_text(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
    return f"exit code {exit_code}: {last[:200]}"


def environment(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """The machine and the software that a number belongs to."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: installed(name) for name in packages},
        "commit": commit(),
    }


def cpu_model() -> str:
    """The name of the processor, as far as the system tells it."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def installed(package: str) -> str | None:
    """The version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of graphreg, marked where files differ from it; None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=HERE,
            capture_output=True,
            text=True,
        )
    except OSError:
        return None
    return done.stdout.strip() or None


if __name__ == "__main__":
    main()
