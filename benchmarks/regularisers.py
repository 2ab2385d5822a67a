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
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from common import kept_rows, machine, markdown, parser
from regulariser_variants import PLAIN, PUBLISHED, labels, variants
from torch import Tensor
from truth import Case, known

from graphreg import PRESETS, Landmarks, register, summarise, tre
from graphreg.config import LevelConfig, RegistrationConfig
from graphreg.core.fields import compose
from graphreg.core.records import Motion
from graphreg.interpolation.thin_plate import ThinPlate
from graphreg.io.json_text import write_json
from graphreg.pipeline import find_regions, observe, prealign
from graphreg.regularisers import GraphRegNet
from graphreg.regularisers.networks import load  # here, so that no row pays for the import of torch-geometric
from graphreg.regularisers.published import SMALLEST
from graphreg.regularisers.weights_file import fingerprint, locate, read_weights
from graphreg.runtime.malloc import keep_freed_memory
from graphreg.runtime.monitor import Monitor

Row = dict[str, Any]
COSTS, WHOLE = "same costs", "whole"  # the tables
KEY = ("table", "preset", "level", "variant", "pair")
FIGURES = ("weights", "points", "mean_mm", "p95_mm", "above_5_percent", "seconds")
PATH, RIVAL = "mean-field", "belief-propagation"  # whose motion table 1 follows; whom table 2 counts wins over
CPU = torch.device("cpu")


class Rows:
    """Finished rows, kept in a file from the moment they are there."""

    def __init__(self, folder: Path):
        """The rows of an earlier run in the folder are there again."""
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "regularisers.json"
        self.rows: list[Row] = kept_rows(self.file)

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
    command_line = arguments()
    options = command_line.parse_args()
    preset = "fast" if options.quick else options.preset
    found = known(options.pairs, max(options.phantoms, int(options.quick)))
    chosen = found[:1] if options.quick else found
    if not chosen:
        command_line.error("--pairs PAIRS with NAME/fixed.nii.gz, --phantoms N, or both needed, found no pair")
    keep_freed_memory()
    rows = Rows(options.out)
    with torch.no_grad():
        for case in chosen:
            same_costs(case, preset, rows)
            whole(case, preset, rows)
    seeds = sum(case.group == "phantoms" for case in chosen)
    places = f"{' --pairs PAIRS' * (seeds < len(chosen))}{f' --phantoms {seeds}' * (seeds > 0)}"
    print(f"```\npython benchmarks/regularisers.py OUT{places} --preset {preset}{' --quick' * options.quick}\n```\n")
    print(machine(), costs_table(chosen, preset, rows), whole_table(chosen, preset, rows), sep="\n\n")


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    found = parser(__doc__)
    found.add_argument("out", type=Path, metavar="OUT")
    found.add_argument("--pairs", type=Path)
    found.add_argument("--phantoms", type=int, default=0, metavar="N", help="seeds 0 to N - 1")
    found.add_argument("--preset", default="inhale-exhale", choices=list(PRESETS))
    found.add_argument("--quick", action="store_true", help="preset fast, the first pair or one phantom alone")
    return found


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
            regularisers = (level.regulariser for level in own.levels)
            networks = sorted({one.weights for one in regularisers if isinstance(one, GraphRegNet)})
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
    missing = {level.name: due_on(level, case, preset, rows) for level in config.levels}
    if not any(missing.values()):
        return
    pair, points = case.read()
    monitor = Monitor(1, CPU)
    prepared = prealign(find_regions(pair, config.anatomy, monitor), config, monitor)
    motion: Motion = prepared.start
    for level in config.levels:
        costs, graph = observe(motion, level, prepared, monitor)
        for key, weights, own in missing[level.name]:
            with reported(key):
                start = time.perf_counter()
                found = own.levels[0].regulariser(costs, graph)
                seconds = time.perf_counter() - start
                inner_mm = points.fixed_mm + spline(level).fit(found)(points.fixed_mm)
                rows.add(key, weights, tre(motion, Landmarks(inner_mm, points.moving_mm)), seconds)
        onward = level.with_regulariser(PATH).regulariser(costs, graph)
        motion = compose(motion, level.interpolator(onward, prepared.field_grid))


def due_on(level: LevelConfig, case: Case, preset: str, rows: Rows) -> list[tuple[Row, str, RegistrationConfig]]:
    """What is missing of table 1 for a level."""
    names = (*PLAIN, PUBLISHED) if labels(level) >= SMALLEST else PLAIN
    keys = [key_of(COSTS, preset, level.name, name, case) for name in names]
    return list(due(keys, replace(plain(preset), levels=(level,)), rows))


def spline(level: LevelConfig) -> ThinPlate:
    """The interpolator of a level of a preset, which can be asked anywhere."""
    assert isinstance(level.interpolator, ThinPlate)
    return level.interpolator


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
    columns = list(dict.fromkeys(case.group for case in chosen))
    lines = []
    for name in variants(rows.file.parent):
        done = [rows.find(**key_of(WHOLE, preset, "", name, case)) for case in chosen]
        rival = [rows.find(**key_of(WHOLE, preset, "", RIVAL, case)) for case in chosen]
        of = {c: [found for case, found in zip(chosen, done, strict=True) if case.group == c] for c in columns}
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


if __name__ == "__main__":
    main()
