"""Many registrations in one process: each succeeds, the memory stays as it is, and the errors are told.

Every one is of a phantom of its own, seen in coarse scans, with small settings; it is written as ``graphreg register``
does and measured through what was written. Between two of them freed memory goes back to the system, as in a study.
After a tenth of them as a warm-up the memory of the first quarter of the rest is compared with that of the last
quarter: what is in use, and the resident set. Exit code 1 where a registration failed or what is in use grew by more
than 5 % (the resident set where the C library does not tell). Linux. usage:

    python benchmarks/soak.py OUT [--count N] [--seed FIRST]         writes OUT/soak.json
"""

import ctypes
import gc
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import machine, parser

from graphreg import __version__, summarise, tre
from graphreg.config import override
from graphreg.io import read_transform
from graphreg.io.json_text import write_json
from graphreg.phantom import PhantomConfig, make_phantom
from graphreg.pipeline import register
from graphreg.presets import preset
from graphreg.runs.results import TRANSFORM, write_result
from graphreg.runtime.malloc import keep_freed_memory
from graphreg.runtime.memory import forget_peak

SCANS = PhantomConfig(fixed_spacing_mm=(4.0, 5.0), moving_spacing_mm=(4.0, 4.5), vessel_spacing_mm=12.0, landmarks=100)
CONFIG = override(
    preset("fast"),
    """
field_spacing_mm = 5.0
[levels.wide]
spacing_mm = 4.0
sampler = {count = 400, separation_mm = 8.0}
features = {dilation_mm = 4.0, radius_mm = 4.0}
matcher = {radius_mm = 40.0, step_mm = 8.0}
[levels.coarse]
spacing_mm = 4.0
sampler = {count = 500}
features = {dilation_mm = 4.0, radius_mm = 4.0}
matcher = {radius_mm = 12.0, step_mm = 4.0}
[levels.middle]
spacing_mm = 3.0
sampler = {count = 800}
features = {dilation_mm = 3.0, radius_mm = 3.0}
matcher = {radius_mm = 6.0, step_mm = 3.0}
[refinement.dense]
spacing_mm = 4.0
features = {window_mm = 8.0}
comparison = {control_mm = 8.0, points = 10000}
descent = {iterations = 10}
""",
)
WARM_UP = 0.1  # share of the registrations
GROWTH = 0.05  # of the memory that is allowed
HEAP = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


def resident_mib() -> float:
    """Memory of the process as it is now (Linux)."""
    words = Path("/proc/self/status").read_text(encoding="ascii").split()
    return int(words[words.index("VmRSS:") + 1]) / 1024


class _Heap(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in HEAP)


def in_use_mib() -> float | None:
    """Memory that was asked for and not given back; None where the C library does not tell."""
    tell = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if tell is None:
        return None
    tell.restype = _Heap
    gc.collect()
    heap = tell()
    return float(heap.uordblks + heap.hblkhd) / 2**20


def once(seed: int, folder: Path) -> dict[str, Any]:
    """Errors of a phantom before and after, seconds and memory; or what went wrong."""
    phantom = make_phantom(seed, SCANS)
    pair, marks = phantom.pair, phantom.landmarks
    start = time.perf_counter()
    try:
        done = register(pair, config=CONFIG, device="cpu")
        write_result(folder, done.field, done.warp(pair.moving), done.keypoints, done.account())
        errors_mm = tre(read_transform(folder / TRANSFORM), marks)
    except Exception as error:  # to be told, and the others go on
        return {"seed": seed, "failure": f"{type(error).__name__}: {error}", **memory()}
    return {
        "seed": seed,
        "seconds": time.perf_counter() - start,
        **memory(),
        "initial_mm": (marks.fixed_mm - marks.moving_mm).norm(dim=1).mean().item(),
        "folding_percent": done.quality.folding_percent,
        "errors_mm": errors_mm.tolist(),
    }


def memory() -> dict[str, float | None]:
    """Both figures of the memory, once what was freed is given back."""
    forget_peak()
    return {"rss_mib": resident_mib(), "in_use_mib": in_use_mib()}


def growth(mib: list[float]) -> float:
    """Relative change of the memory from the first to the last quarter of what follows the warm-up."""
    settled = mib[max(round(WARM_UP * len(mib)), 1) :]
    quarter = max(len(settled) // 4, 1)
    return median(settled[-quarter:]) / median(settled[:quarter]) - 1


def report(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What is told of all registrations."""
    good = [run for run in runs if "errors_mm" in run]
    every = torch.tensor([error for run in good for error in run["errors_mm"]], dtype=torch.float64)
    means = torch.tensor([sum(run["errors_mm"]) / len(run["errors_mm"]) for run in good], dtype=torch.float64)
    rss_mib = [run["rss_mib"] for run in runs]
    in_use_mib = [run["in_use_mib"] for run in runs if run["in_use_mib"] is not None] or rss_mib
    return {
        "graphreg": __version__,
        "torch": torch.__version__,
        "machine": machine(),
        "registrations": len(runs),
        "failures": {run["seed"]: run["failure"] for run in runs if "failure" in run},
        "seconds_each": median(run["seconds"] for run in good) if good else None,
        "rss_mib": {"first": rss_mib[0], "median": median(rss_mib), "last": rss_mib[-1], "highest": max(rss_mib)},
        "rss_growth_percent": 100 * growth(rss_mib),
        "in_use_mib": {"first": in_use_mib[0], "median": median(in_use_mib), "last": in_use_mib[-1]},
        "growth_percent": 100 * growth(in_use_mib),
        "tre_of_landmarks": asdict(summarise(every)) if good else None,
        "tre_of_pairs": asdict(summarise(means)) if good else None,
        "worst_seed": good[int(means.argmax())]["seed"] if good else None,
        "folding_percent_at_most": max((run["folding_percent"] for run in good), default=None),
        "runs": [{key: value for key, value in run.items() if key != "errors_mm"} for run in runs],
    }


def main() -> int:
    """Exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--count", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    if options.count < 2:
        arguments.error("--count must be at least 2: the first one warms up")
    keep_freed_memory()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.count):
            runs.append(once(options.seed + number, Path(folder)))
            if (number + 1) % 25 == 0:
                print(f"{number + 1} of {options.count}: {runs[-1]['rss_mib']:.0f} MiB", file=sys.stderr, flush=True)
    found = report(runs)
    write_json(options.out / "soak.json", found)
    print(json.dumps({key: value for key, value in found.items() if key != "runs"}, indent=2))
    return int(bool(found["failures"]) or found["growth_percent"] > 100 * GROWTH)


if __name__ == "__main__":
    sys.exit(main())
