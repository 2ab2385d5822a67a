"""What a killed registration leaves: the earlier result or the new one, whole, and nothing that stops the next run.

    python benchmarks/faults.py OUT [--kills 100] [--seed 0]

A phantom is registered to OUT/out by one method and another by turns, every run in place of the result of the last, or
into an empty folder. Each is killed (SIGKILL) at a random moment of its work, every second one while it writes; those
that are done before do not count. The next run must succeed and leave the four files of its result and nothing else.
Each run is a fork of this program, which has imported everything: kills meet the work. Moments of the work are told by
the processor time of a run, which a busy machine does not stretch. Linux only. Exit code 1 where one was not survived.
"""

import math
import operator
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from common import images, masks, parser

from graphreg.cli import main
from graphreg.runs.results import COMPLETE, KEYPOINTS, RECORD, TRANSFORM, WARPED, read_record

DATA = (TRANSFORM, WARPED, KEYPOINTS)
METHODS = ("mean-field", "belief-propagation")
SETTINGS = """
field_spacing_mm = 5.0
prealignment.masks.spacing_mm = 8.0
levels.wide = {spacing_mm = 4.0, sampler.count = 100, matcher = {radius_mm = 40.0, step_mm = 8.0}}
levels.coarse = {spacing_mm = 4.0, sampler.count = 100, matcher = {radius_mm = 12.0, step_mm = 4.0}}
levels.middle = {spacing_mm = 4.0, sampler.count = 100, matcher = {radius_mm = 8.0, step_mm = 4.0}}
"""


def start(*arguments: object) -> BaseProcess:
    """The program with these arguments, at work in a process of its own."""

    def work() -> None:
        sys.exit(main([str(argument) for argument in arguments]))

    process: BaseProcess = get_context("fork").Process(target=work)
    process.start()
    return process


def watch(process: BaseProcess) -> Iterator[float]:
    """Processor time that a process has taken so far in seconds, again and again until it ends."""
    while process.is_alive():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        yield (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        time.sleep(0.001)


def finish(process: BaseProcess, out: Path) -> tuple[float, float]:
    """Waits for a run that must succeed; how long it wrote, and its processor time."""
    seconds, writing = 0.0, math.inf
    for told in watch(process):
        seconds = told
        if writes(out):
            writing = min(writing, time.perf_counter())
    written_s = max(time.perf_counter() - writing, 0.0)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"exit code {process.exitcode} of the run to {out}")
    return written_s, seconds


def kill(process: BaseProcess, ready: Callable[[float], bool], later_s: float = 0.0) -> None:
    """Ends a process so long after its processor time, or something else, says that it is ready."""
    for seconds in watch(process):
        if ready(seconds):
            time.sleep(later_s)
            process.kill()
    process.join()


def writes(out: Path) -> bool:
    """Whether a new result is being written in a folder."""
    return any(out.glob(f".????????.{COMPLETE}"))


def register(place: Path, method: str, out: Path) -> BaseProcess:
    """A registration to a folder, in place of what is there."""
    fixed_mask, moving_mask = masks(place / "phantom")
    given = ["--fixed-mask", fixed_mask, "--moving-mask", moving_mask, "--preset", "fast"]
    given += ["--config", place / "fast.toml", "--no-refinement", "--regulariser", method]
    return start("register", *images(place / "phantom"), *given, "-o", out, "--force", "-q")


def contents(folder: Path) -> dict[str, bytes]:
    """Files that a user sees."""
    shown = folder.glob("[!.]*") if folder.exists() else ()
    return {path.name: path.read_bytes() for path in shown}


def is_result(folder: Path, wanted: dict[str, bytes]) -> bool:
    """Whether a folder shows a result with this data and its record, and nothing else."""
    found = contents(folder)
    return set(found) == {*DATA, RECORD} and bool(read_record(folder)) and all(found[n] == wanted[n] for n in DATA)


def left(out: Path, before: dict[str, bytes], wanted: dict[str, bytes]) -> str:
    """What a killed run has left."""
    if contents(out) == before:
        return "earlier result" if before else "nothing"
    if is_result(out, wanted):
        return "new result"
    return "new result on its way" if (out / COMPLETE).is_dir() else "BROKEN"


def survive(place: Path, kills: int, seed: int) -> Counter[str]:
    """How often which was left; BROKEN and STUCK must not be."""
    draw, out = random.Random(seed), place / "out"
    times = [finish(register(place, method, place / method), place / method) for method in METHODS]
    wanted = [contents(place / method) for method in METHODS]
    counts: Counter[str] = Counter()
    number = -1
    while counts["killed"] < kills:
        number += 1
        method, goal, (writing_s, all_s) = METHODS[number % 2], wanted[number % 2], times[number % 2]
        if number % 4 == 0:
            shutil.rmtree(out, ignore_errors=True)
        before = contents(out)
        process = register(place, method, out)
        if number % 2:
            kill(process, lambda _: writes(out), draw.uniform(0.0, writing_s))
        else:
            kill(process, partial(operator.le, draw.uniform(0.0, all_s)))
        counts["killed" if process.exitcode == -9 else "done before"] += 1
        counts[left(out, before, goal)] += 1
        counts["with hidden files"] += any(out.glob(".*"))
        counts["while it wrote"] += writes(out)
        finish(register(place, method, out), out)
        counts["STUCK"] += not is_result(out, goal) or any(out.glob(".*"))
    return counts


def run() -> int:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("out", type=Path)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "fast.toml").write_text(SETTINGS)
    finish(start("phantom", "-o", given.out / "phantom", "--seed", 1, "--spacing", 5, 6), given.out / "phantom")
    counts = survive(given.out, given.kills, given.seed)
    print(", ".join(f"{what}: {count}" for what, count in sorted(counts.items())))
    return int(counts["BROKEN"] + counts["STUCK"] > 0)


if __name__ == "__main__":
    sys.exit(run())
