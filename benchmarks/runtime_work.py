"""What ``runtime.py`` measures in processes of their own: ``runtime_work.py WORK TASK ANSWER``, answer in JSON."""

import json
import mmap
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import images, masks
from stage_bench import Bench
from stage_cases import rows

from graphreg import PRESETS, read_pair, register
from graphreg.config import override
from graphreg.io import write_volume
from graphreg.phantom import PhantomConfig, make_phantom
from graphreg.runtime.malloc import keep_freed_memory

Figures = dict[str, Any]
COPY, FRESH, MATRIX = "memory, copy", "memory, first touch", "matrix product, float32"


def work_here(work: str, task: str, answer: str) -> None:
    """In a child: its figures to a file."""
    keep_freed_memory()
    settings = json.loads(task)
    torch.set_num_threads(settings["threads"])
    jobs = {"cuda": cuda, "machine": machine, "phantom": phantom, "registration": registration, "stages": stages}
    with torch.no_grad():
        Path(answer).write_text(json.dumps(jobs[work](settings)))


def cuda(task: Figures) -> Figures:
    """Whether there is a GPU."""
    return {"present": torch.cuda.is_available()}


def machine(task: Figures) -> Figures:
    """Rates of copies (bytes read and written), of the first writing to memory, and of matrix products."""
    bench = Bench(torch.device(task["device"]), task["quick"], Path(task["out"]))
    size = bench.some(1 << 29, 1 << 25)  # bytes, many times those of the caches
    source = torch.ones(size // 4, device=bench.device)
    target = torch.zeros_like(source)
    rates: Figures = {COPY: 2 * size / bench.timed(lambda: target.copy_(source))[0] / 1e9}

    def touch() -> None:
        torch.frombuffer(mmap.mmap(-1, size), dtype=torch.float32).fill_(1)  # from the system, not kept from before

    rates[FRESH] = size / bench.timed(touch)[0] / 1e9 if task["device"] == "cpu" else "not measured"
    numbers = bench.random(bench.some(4096, 512), bench.some(4096, 512))
    for name, matrix in ((MATRIX, numbers), (MATRIX.replace("32", "64"), numbers.double())):
        seconds, _ = bench.timed(partial(torch.mm, matrix, matrix))
        rates[name] = 2 * len(matrix) ** 3 / seconds / 1e9
    return rates


def phantom(task: Figures) -> Figures:
    """A pair and its masks, to files."""
    spacing, folder = tuple(task["spacing"]), Path(task["folder"])
    pair = make_phantom(0, PhantomConfig(fixed_spacing_mm=spacing, moving_spacing_mm=spacing)).pair
    assert pair.fixed_mask is not None and pair.moving_mask is not None
    sides = ((pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask))
    for (volume, mask), image_file, mask_file in zip(sides, images(folder), masks(folder), strict=True):
        write_volume(volume, image_file)
        write_volume((volume.grid, mask), mask_file)
    return {}


def registration(task: Figures) -> Figures:
    """Reading a pair, and registering it twice."""
    folder, start = Path(task["folder"]), time.perf_counter()
    pair = read_pair(*images(folder), *masks(folder))
    reading_s = time.perf_counter() - start
    config = (
        override(PRESETS["fast"], (Path(task["out"]) / "quick.toml").read_text())
        if task["quick"]
        else PRESETS["inhale-exhale"]
    )
    if count := task["count"]:
        config = override(config, "\n".join(f"levels.{level.name}.sampler.count = {count}" for level in config.levels))
    runs = []
    for state in ("cold", "warm"):
        start = time.perf_counter()
        stages = register(pair, config=config, device=task["device"]).stages
        seconds = time.perf_counter() - start
        peak = max(cost.peak_mib for cost in stages.values())
        own = {name: asdict(cost) for name, cost in stages.items()}
        runs.append({"state": state, "seconds": seconds, "peak_mib": peak, "stages": own})
    return {"voxels": pair.fixed.grid.voxels, "count": count, "reading_s": reading_s, "runs": runs}


def stages(task: Figures) -> Figures:
    """Stages beside their references."""
    with TemporaryDirectory(dir=task["out"]) as folder:
        bench = Bench(torch.device(task["device"]), task["quick"], Path(folder))
        return {"rows": [asdict(row) for row in rows(bench)]}


if __name__ == "__main__":
    work_here(*sys.argv[1:])
