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
import signal
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from common import HERE, Cost, cases, commit, environment, measured, parser, registration, settle, write_json
from peer_methods import METHODS

# This module stays free of torch: a process starts with the memory of its parent on its account.

INSTALL = 'pip install -c constraints.txt -e ".[benchmark]"'
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

        score(options.pairs, options.out, environment(PACKAGES))
        return
    methods, found = options.method or list(METHODS), chosen(options.pairs, options.pair)
    require_packages(methods)
    limits = Limits(options.threads, options.limit)
    settle(limits.threads)
    for case in found:
        for method in methods:
            predict(method, case, options.out / method / case.name, not options.no_masks, options.force, limits)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    found = parser(__doc__)
    steps = found.add_subparsers(dest="step", required=True)
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
    return found


def chosen(pairs: Path, names: list[str] | None) -> list[Path]:
    """Folders of a data set that hold a pair, all or those of the names."""
    found = {case.name: case for case in cases(pairs)}
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
    run = planned(name, case, masked, limits)
    before = read_run(out)
    if not force and before and not before["error"] and all(before[key] == run[key] for key in SAME):
        print(f"{name} {case.name}: kept")
        return
    out.mkdir(parents=True, exist_ok=True)
    for stale in ("transform.h5", "run.json"):
        (out / stale).unlink(missing_ok=True)
    command = command_line(name, case, out, masked)
    run |= {"command": command, "environment": environment(PACKAGES)}
    run |= performed(command, out, limits)
    write_json(out / "run.json", run)
    print(f"{name} {case.name}: {run['error'] or 'done'}, {run['seconds']:.0f} s, {run['peak_mib']:.0f} MiB")


def planned(name: str, case: Path, masked: bool, limits: Limits) -> dict[str, Any]:
    """What is known of a run before it starts, as JSON gives it back."""
    method = METHODS[name]
    return {
        "method": name,
        "pair": case.name,
        "package": method.package,
        "version": version(method.package),
        "settings": json.loads(json.dumps(method.record)),
        "masks": masked,
        "threads": limits.threads,
        "commit": commit() if method.package == "graphreg" else None,  # peers do not change with graphreg
        "limit_s": limits.seconds,
    }


def read_run(out: Path) -> dict[str, Any] | None:
    """The record of a run, None where there is none."""
    record = out / "run.json"
    return json.loads(record.read_text()) if record.exists() else None


def command_line(name: str, case: Path, out: Path, masked: bool) -> list[str]:
    """What runs a method on a pair."""
    if METHODS[name].register is not None:
        options = [] if masked else ["--no-masks"]
        return [sys.executable, str(HERE / "peer_methods.py"), name, str(case), str(out), *options]
    options = ["--preset", METHODS[name].settings["preset"], "--device", "cpu", "--force", "--quiet"]
    return registration(case, out, *options, masked=masked)


def performed(command: list[str], out: Path, limits: Limits) -> dict[str, Any]:
    """Seconds from the start of the interpreter to its end, highest memory, exit code and the reason of a failure."""
    with open(out / "log.txt", "wb") as log:
        cost = measured(command, limits.threads, {"CUDA_VISIBLE_DEVICES": ""}, log, limits.seconds)
    return asdict(cost) | {"error": reason(cost, limits, out)}


def reason(cost: Cost, limits: Limits, out: Path) -> str | None:
    """Why a run failed, in a line."""
    if cost.exit_code == 0:
        return None if (out / "transform.h5").exists() else "wrote no transform"
    if cost.exit_code == -signal.SIGKILL and cost.seconds >= limits.seconds:
        return f"over the limit of {limits.seconds:.0f} s"
    lines = (out / "log.txt").read_text(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
    return f"exit code {cost.exit_code}: {last[:200]}"


if __name__ == "__main__":
    main()
