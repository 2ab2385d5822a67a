"""How long graphreg takes, and why: the machine, whole registrations by size, each stage beside a slow reference.

Prints tables and writes OUT/runtime.json. usage:

    python benchmarks/runtime.py OUT [--threads N] [--pairs FOLDER] [--quick] [--only PART ...] [--device cuda]

``machine``: what memory and processor give to these threads. ``sizes``: registrations of phantoms by stage, of about
1, 6 and 25 megavoxels, the middle one with 512 to 4096 keypoints as well; each in a process of its own, where the first
run is cold and the second warm. ``commands``: the same phantoms and the pairs of FOLDER (as in accuracy.py, with masks)
by the program, from the start of the interpreter to its end. ``stages``: see stage_*.py and references.py.

Stages and the machine: best of three, or of as many as start within five seconds; references and registrations once.
As in the program, processes keep what they free (graphreg.runtime.malloc). Nothing else should run meanwhile.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from common import (
    HERE,
    cases,
    environment,
    header,
    images,
    line,
    masks,
    measured,
    parser,
    registration,
    settle,
    write_json,
)

# This module stays free of torch: a process starts with the memory of its parent on its account.

Figures = dict[str, Any]
PARTS = ("machine", "sizes", "commands", "stages")
SIZES = {"small": (2.6, 3.5), "middle": (1.5, 1.8), "large": (0.9, 1.2)}  # mm in plane, between slices
COUNTS = (512, 1024, 2048, 4096)  # keypoints of every level
QUICK = "".join(
    f"[levels.{name}]\nspacing_mm = 6.0\nsampler.count = 64\nsampler.sigma_mm = 3.0\nmatcher.step_mm = 6.0\n"
    "matcher.radius_mm = 24.0\n"
    for name in ("wide", "coarse", "middle")
)
COPY, MATRIX = "memory, copy", "matrix product, float32"  # as runtime_work.py calls them
LEVELS = ("keypoints", "descriptors", "cost volume", "graph", "regulariser", "spline")
STAGES = ("mask", "alignment", *LEVELS, "refinement", "unfolding", "quality")


@dataclass(frozen=True)
class Study:
    """What is asked for, and what is found on the way."""

    out: Path
    threads: int
    pairs: Path | None
    quick: bool
    only: tuple[str, ...]
    device: str
    found: Figures = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, tuple[float, float]]:
        return {"tiny": (5.0, 6.0)} if self.quick else SIZES

    @property
    def settings(self) -> list[str]:
        """Options of the program."""
        return ["--preset", "fast", "--config", str(self.out / "quick.toml")] if self.quick else []

    def child(self, work: str, **task: Any) -> Figures:
        """What a function of runtime_work.py returns in a process of its own."""
        answer = self.out / "answer.json"
        answer.unlink(missing_ok=True)
        task |= {"device": self.device, "quick": self.quick, "threads": self.threads, "out": str(self.out)}
        self.run([sys.executable, str(HERE / "runtime_work.py"), work, json.dumps(task), str(answer)])
        figures: Figures = json.loads(answer.read_text())
        answer.unlink()
        return figures

    def run(self, command: list[str]) -> tuple[float, float]:
        """Seconds and peak MiB of a process. Leaves where it fails."""
        cost = measured(command, self.threads)
        if cost.exit_code:
            sys.exit(f"exit code {cost.exit_code}: {' '.join(command)}")
        return cost.seconds, cost.peak_mib


def main() -> None:
    """The parts asked for, each printed and written as soon as it is known."""
    study = Study(**vars(arguments().parse_args()))
    study.out.mkdir(parents=True, exist_ok=True)
    (study.out / "quick.toml").write_text(QUICK)
    settle(study.threads)
    record = surroundings(study)
    print(*(f"{name}: {value}" for name, value in record.items()), sep="\n")
    if study.device == "cuda" and not study.child("cuda")["present"]:
        print("\nGPU: not measured, there is none")
        study.found["gpu"] = "not measured"
        write(study, record)
        return
    tell = {"machine": tell_machine, "sizes": tell_sizes, "commands": tell_commands, "stages": tell_stages}
    for part in PARTS:
        if part in study.only or (part == "machine" and "stages" in study.only):  # which are held against it
            print(f"\n## {part}\n", flush=True)
            tell[part](study)
            if study.device == "cpu":
                print("\nGPU: not measured")
            write(study, record)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    found = parser(__doc__)
    found.add_argument("out", type=Path)
    found.add_argument("--threads", type=int, default=os.cpu_count(), help="else one per core")
    found.add_argument("--pairs", type=Path, help="folder of pairs")
    found.add_argument("--quick", action="store_true", help="all of it tiny, to see that it works")
    found.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    found.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return found


def surroundings(study: Study) -> Figures:
    """The machine and the software that a number belongs to."""
    here = environment(("graphreg", "torch", "numpy", "scipy", "SimpleITK"))
    return here | {"threads": study.threads, "device": study.device, "quick": study.quick}


def write(study: Study, here: Figures) -> None:
    """OUT/runtime.json, with what is known so far."""
    gpu = {} if study.device == "cuda" else {"gpu": "not measured"}
    write_json(study.out / "runtime.json", {"environment": here, **study.found, **gpu})


def table(names: str, rows: Iterable[Sequence[object]]) -> None:
    """A table in Markdown, line by line as they come; numbers to three figures."""
    print(header(names.split(", ")), flush=True)
    for row in rows:
        print(line(map(cell, row)), flush=True)


def cell(value: object) -> str:
    """Words as they are, nothing as a dash, numbers to three figures without an exponent where they are not tiny."""
    if not isinstance(value, float):
        return "-" if value is None else str(value)
    if not math.isfinite(value):
        return str(value)
    if value == 0 or abs(value) < 1e-3:
        return f"{value:.1e}" if value else "0"
    return f"{value:.{max(2 - math.floor(math.log10(abs(value))), 0)}f}"


def tell_machine(study: Study) -> None:
    """What the machine can do."""
    found = study.found["machine"] = study.child("machine")
    table("what, rate, unit", [(name, rate, "GB/s" if "memory" in name else "GFLOP/s") for name, rate in found.items()])


def tell_sizes(study: Study) -> None:
    """Registrations by size and by number of keypoints, in processes of their own."""
    folders = phantoms(study)
    middle = list(folders)[len(folders) // 2]
    tasks: list[tuple[str, int | None]] = [(name, None) for name in folders]
    tasks += [(middle, count) for count in ((64,) if study.quick else COUNTS)]
    found = study.found["sizes"] = []

    def rows() -> Iterator[Sequence[object]]:
        for name, count in tasks:
            figures = study.child("registration", folder=str(folders[name]), count=count)
            found.append({"pair": name, **figures})
            for run in figures["runs"]:
                million, stages = figures["voxels"] / 1e6, run["stages"]
                start = (name, million, count or "preset", run["state"])
                seconds = (stages[stage]["seconds"] for stage in STAGES)
                yield *start, *seconds, run["seconds"], run["seconds"] / million, round(run["peak_mib"])

    table(f"pair, Mvox, keypoints, run, {', '.join(STAGES)}, all s, s/Mvox, peak MiB", rows())


def phantoms(study: Study) -> dict[str, Path]:
    """Folders of pairs by name, made where they are missing."""
    folders = {name: study.out / "phantoms" / name for name in study.sizes}
    for name, spacing in study.sizes.items():
        if not masks(folders[name])[-1].exists():  # the last to be written
            study.child("phantom", folder=str(folders[name]), spacing=spacing)
    return folders


def tell_commands(study: Study) -> None:
    """The whole program, from files to files."""
    folders = phantoms(study)
    if study.pairs:
        folders |= {case.name: case for case in cases(study.pairs)}
    found = study.found["commands"] = []

    def rows() -> Iterator[Sequence[object]]:
        for name, folder in folders.items():
            options = ["--device", study.device, "--force", "--quiet", *study.settings]
            seconds, peak = study.run(registration(folder, study.out / "results" / name, *options))
            million = megavoxels(images(folder)[0])
            found.append({"pair": name, "megavoxels": million, "seconds": seconds, "peak_mib": peak})
            yield name, million, seconds, seconds / million, round(peak)

    table("pair, Mvox, s, s/Mvox, peak MiB", rows())


def megavoxels(path: Path) -> float:
    """Size of an image, from its header."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return math.prod(reader.GetSize()) / 1e6


def tell_stages(study: Study) -> None:
    """Stages beside their references, and beside what the machine could do."""
    found = study.found["stages"] = study.child("stages")["rows"]
    machine = study.found["machine"]
    table(
        "stage, s, reference s, ratio, reference computed, largest difference",
        (
            (r["stage"], r["seconds"], r["reference_s"], r["reference_s"] / r["seconds"], r["part"])
            + (f"{cell(r['difference'])} {r['unit']}".strip(),)
            for r in found
        ),
    )
    print()
    table("stage, GFLOP, GFLOP/s, % of matrix rate, GB, GB/s, % of bandwidth, % of the roof", rooflines(found, machine))


def rooflines(found: Sequence[Figures], machine: Figures) -> Iterator[Sequence[object]]:
    """Rates reached, as counted in stage_cases.py; the roof is the time that the slower of both would need alone."""
    for row in found:
        if row["flop"] is not None:
            work, moved, seconds = row["flop"] / 1e9, row["bytes"] / 1e9, row["seconds"]
            shares = [100 * work / seconds / machine[MATRIX], 100 * moved / seconds / machine[COPY]]
            yield row["stage"], work, work / seconds, shares[0], moved, moved / seconds, shares[1], max(shares)


if __name__ == "__main__":
    main()
