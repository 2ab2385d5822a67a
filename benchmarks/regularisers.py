"""The regularisers beside one another, and what each part of graphregnet is worth: two tables and OUT/regularisers.csv.

PAIRS is a folder of pairs as in ``accuracy.py``, measured at their landmarks; phantoms are measured all over their
lungs. Masks are given. Every pair, phantom or not, counts alike in a mean. Table 1 follows the registration with the
mean field and gives the cost volumes of each level to every regulariser; table 2 are whole registrations. A row that is
in OUT/regularisers.json is not computed again unless the weights of its network have changed: after a change of the
program, take another OUT. A row that fails says why on stderr and leaves an empty cell. usage:

    python benchmarks/regularisers.py OUT [--pairs PAIRS] [--phantoms N] [--preset NAME] [--quick]
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from accuracy import cases
from peers import environment
from regulariser_variants import PLAIN, PUBLISHED, labels, variants
from torch import Tensor

from graphreg import PRESETS, ImagePair, Landmarks, make_phantom, read_landmarks, read_pair, register, summarise, tre
from graphreg.config import RegistrationConfig
from graphreg.core.fields import compose
from graphreg.core.grid import mask_points_mm
from graphreg.core.records import Motion
from graphreg.interpolation.thin_plate import fit, interpolate
from graphreg.io.json_text import write_json
from graphreg.pipeline import observe
from graphreg.regularisers.networks import load  # here, so that no row pays for the import of torch-geometric
from graphreg.regularisers.published import SMALLEST
from graphreg.regularisers.weights_file import fingerprint, locate, read_weights
from graphreg.runtime.malloc import keep_freed_memory
from graphreg.runtime.monitor import Monitor
from graphreg.scene import find_masks, open_scene

Row = dict[str, Any]
COSTS, WHOLE = "same costs", "whole"  # the tables
KEY = ("table", "preset", "level", "variant", "pair")
FIGURES = ("weights", "points", "mean_mm", "p95_mm", "above_5_percent", "seconds")
PATH, RIVAL = "mean-field", "belief-propagation"  # whose motion table 1 follows; whom table 2 counts wins over
POINTS = 2000  # of the lungs of a phantom, about
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A pair and where it is measured, read when it is needed."""

    name: str
    column: str  # of table 2
    read: Callable[[], tuple[ImagePair, Landmarks]]


class Rows:
    """Finished rows, kept in a file from the moment they are there."""

    def __init__(self, folder: Path):
        """The rows of an earlier run in the folder are there again."""
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "regularisers.json"
        self.rows: list[Row] = json.loads(self.file.read_text())["rows"] if self.file.exists() else []

    def find(self, **wanted: object) -> list[Row]:
        """Those that agree."""
        return [row for row in self.rows if all(row[name] == value for name, value in wanted.items())]

    def add(self, key: Row, weights: str, errors_mm: Tensor, seconds: float) -> None:
        """A row with errors (M,), in place of the one of that key."""
        errors = summarise(errors_mm)
        figures = (weights, errors.count, errors.mean_mm, errors.p95_mm, 100 * errors.above_5_mm, seconds)
        stale = self.find(**key)
        self.rows = [row for row in self.rows if row not in stale]
        self.rows.append(key | dict(zip(FIGURES, figures, strict=True)))
        write_json(self.file, {"rows": self.rows})
        with self.file.with_suffix(".csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, (*KEY, *FIGURES))
            writer.writeheader()
            writer.writerows(self.rows)
        print(*filter(None, key.values()), f"{errors.mean_mm:.2f} mm, {seconds:.2f} s", sep=" | ", file=sys.stderr)


def main() -> None:
    """Computes what is missing, then prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--phantoms", type=int, default=0, metavar="N", help="seeds 0 to N - 1")
    parser.add_argument("--preset", default="inhale-exhale", choices=list(PRESETS))
    parser.add_argument("--quick", action="store_true", help="preset fast, the first pair or one phantom alone")
    options = parser.parse_args()
    preset = "fast" if options.quick else options.preset
    found = pairs(options.pairs, max(options.phantoms, int(options.quick)))
    chosen = found[:1] if options.quick else found
    if not chosen:
        parser.error("--pairs PAIRS with NAME/fixed.nii.gz, --phantoms N, or both needed, found no pair")
    keep_freed_memory()
    rows = Rows(options.out)
    with torch.no_grad():
        for case in chosen:
            same_costs(case, preset, rows)
            whole(case, preset, rows)
    seeds = sum(case.column == "phantoms" for case in chosen)
    places = f"{' --pairs PAIRS' * (seeds < len(chosen))}{f' --phantoms {seeds}' * (seeds > 0)}"
    print(f"```\npython benchmarks/regularisers.py OUT{places} --preset {preset}{' --quick' * options.quick}\n```\n")
    print(machine(), costs_table(chosen, preset, rows), whole_table(chosen, preset, rows), sep="\n\n")


def pairs(folder: Path | None, seeds: int) -> list[Case]:
    """The pairs of a folder, then phantoms."""
    real = [Case(path.name, path.name, partial(read, path)) for path in (cases(folder) if folder else [])]
    return real + [Case(f"seed{seed}", "phantoms", partial(draw, seed)) for seed in range(seeds)]


@lru_cache(maxsize=1)
def read(folder: Path) -> tuple[ImagePair, Landmarks]:
    """A pair with the masks that it has."""
    names = [folder / f"{name}.nii.gz" for name in ("fixed", "moving", "fixed_mask", "moving_mask")]
    pair = read_pair(*names[:2], *(mask if mask.exists() else None for mask in names[2:]))
    return pair, read_landmarks(folder / "landmarks.csv")


@lru_cache(maxsize=1)
def draw(seed: int) -> tuple[ImagePair, Landmarks]:
    """A phantom, and points all over its fixed lungs with their exact motion."""
    made = make_phantom(seed)
    assert made.pair.fixed_mask is not None
    points_mm = mask_points_mm(made.pair.fixed_mask, made.pair.fixed.grid)
    points_mm = points_mm[:: len(points_mm) // POINTS + 1]
    return made.pair, Landmarks(points_mm, made.motion(points_mm))


@contextmanager
def reported(key: Row) -> Iterator[None]:
    """A row that cannot be computed is left out, with a word on stderr."""
    try:
        yield
    except ValueError as error:
        print(*filter(None, key.values()), f"failed: {error}", sep=" | ", file=sys.stderr)


def due(keys: Iterable[Row], config: RegistrationConfig, rows: Rows) -> Iterator[tuple[Row, str, RegistrationConfig]]:
    """Rows that are missing: key, weights that it has to do with, settings. The networks are in memory."""
    for key in keys:
        with reported(key):
            own = variants(rows.file.parent)[key["variant"]](config)
            networks = sorted({v.graphregnet.weights for v in own.levels} if own.regulariser == "graphregnet" else ())
            for name in networks:
                load(name, CPU)
            weights = " ".join(fingerprint(read_weights(locate(name)).tensors)[:12] for name in networks)
            if not rows.find(**key, weights=weights):
                yield key, weights, own


def plain(preset: str) -> RegistrationConfig:
    """A preset without its refinement, which looks at the images again."""
    return replace(PRESETS[preset], refinement=())


def same_costs(case: Case, preset: str, rows: Rows) -> None:
    """Table 1 of a pair: every regulariser on the cost volumes of the path of one of them."""
    config = plain(preset)
    missing = {}
    for level in config.levels:
        names = (*PLAIN, PUBLISHED) if labels(level) >= SMALLEST else PLAIN
        keys = [key_of(COSTS, preset, level.name, name, case) for name in names]
        missing[level.name] = list(due(keys, replace(config, levels=(level,)), rows))
    if not any(missing.values()):
        return
    pair, points = case.read()
    monitor = Monitor(1, CPU)
    scene = open_scene(pair, find_masks(pair, config, monitor), config, monitor)
    motion: Motion = scene.start
    for level in config.levels:
        costs, graph = observe(motion, level, scene)
        for key, weights, own in missing[level.name]:
            with reported(key):
                start = time.perf_counter()
                found = own.levels[0].regulariser(own.regulariser)(costs, graph)
                seconds = time.perf_counter() - start
                inner_mm = points.fixed_mm + fit(found, level.spline)(points.fixed_mm)
                rows.add(key, weights, tre(motion, Landmarks(inner_mm, points.moving_mm)), seconds)
        onward = level.regulariser(PATH)(costs, graph)
        motion = compose(motion, interpolate(onward, scene.field_grid, level.spline))


def whole(case: Case, preset: str, rows: Rows) -> None:
    """Table 2 of a pair."""
    keys = [key_of(WHOLE, preset, "", name, case) for name in variants(rows.file.parent)]
    for key, weights, own in due(keys, plain(preset), rows):
        with reported(key):
            pair, points = case.read()
            start = time.perf_counter()
            field = register(pair, config=own, device="cpu").field
            rows.add(key, weights, tre(field, points), time.perf_counter() - start)


def key_of(table: str, preset: str, level: str, variant: str, case: Case) -> Row:
    """What a row is of."""
    return dict(zip(KEY, (table, preset, level, variant, case.name), strict=True))


def costs_table(chosen: Sequence[Case], preset: str, rows: Rows) -> str:
    """Table 1."""
    lines = []
    for level in PRESETS[preset].levels:
        for name in (*PLAIN, PUBLISHED):
            done = [rows.find(**key_of(COSTS, preset, level.name, name, case)) for case in chosen]
            lines.append([level.name, name.split(" where")[0], *figures(done, 3)])
    return markdown(["level", "regulariser", "mean mm", "p95 mm", "above 5 mm %", "seconds"], lines)


def whole_table(chosen: Sequence[Case], preset: str, rows: Rows) -> str:
    """Table 2."""
    columns = list(dict.fromkeys(case.column for case in chosen))
    lines = []
    for name in variants(rows.file.parent):
        done = [rows.find(**key_of(WHOLE, preset, "", name, case)) for case in chosen]
        rival = [rows.find(**key_of(WHOLE, preset, "", RIVAL, case)) for case in chosen]
        of = {c: [found for case, found in zip(chosen, done, strict=True) if case.column == c] for c in columns}
        *means, seconds = figures(done, 1)
        both = [(a[0]["mean_mm"], b[0]["mean_mm"]) for a, b in zip(done, rival, strict=True) if a and b]
        wins = f"{sum(a < b for a, b in both)}/{len(both)}" if both and name != RIVAL else "-"
        lines.append([name, *(figures(of[c], 1)[0] for c in columns), *means, wins, seconds])
    head = ["variant", *columns, "mean mm", "p95 mm", "above 5 mm %", f"better than {RIVAL}", "seconds"]
    return markdown(head, lines)


def figures(done: Sequence[list[Row]], decimals: int) -> list[str]:
    """Means over pairs of mean, 95th percentile and share beyond 5 mm, median of seconds; none if a pair is missing."""
    if not all(done):
        return ["-"] * 4
    of = {name: [found[0][name] for found in done] for name in FIGURES[2:]}
    means = (f"{fmean(of['mean_mm']):.3f}", f"{fmean(of['p95_mm']):.2f}", f"{fmean(of['above_5_percent']):.1f}")
    return [*means, f"{median(of['seconds']):.{decimals}f}"]


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def machine() -> str:
    """What the seconds belong to."""
    known = environment(("graphreg", "torch", "torch-geometric"))
    packages = [f"{name} {version}" for name, version in known["packages"].items()]
    places = f"{known['cpu']}, {torch.get_num_threads()} of {known['cores']} cores, {known['memory_gib']:.0f} GiB"
    return f"{', '.join(packages)}; commit {known['commit']}; {places}; {known['date'][:10]}"


if __name__ == "__main__":
    main()
