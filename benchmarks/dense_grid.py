"""The dense form of the algorithm beside the sparse one: what keypoints are worth, in mm and in seconds.

PDD-Net (Heinrich, MICCAI 2019) looks everywhere alike: at the points of a regular lattice, whose six neighbours on it
influence each other by the mean field, and whose displacements a B-spline spreads. Keypoints are those of the preset.
Both have the same levels, features, costs and regulariser, and about as many points in a level. PAIRS is a folder of
pairs as in ``accuracy.py``, measured at their landmarks; phantoms are measured all over their lungs. Prints tables and
writes OUT/dense_grid.json; nothing else should run meanwhile. usage:

    python benchmarks/dense_grid.py OUT [--pairs PAIRS] [--phantoms N] [--preset NAME]
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean

from common import environment, machine, markdown, parser
from truth import Case, known

from graphreg import PRESETS, ImagePair, register, summarise, tre
from graphreg.config import LevelConfig, RegistrationConfig
from graphreg.core.grid import mask_volume_mm3
from graphreg.interpolation import BSpline
from graphreg.io.json_text import write_json
from graphreg.matching import SixNeighbours
from graphreg.runtime.malloc import keep_freed_memory
from graphreg.sampling import Foerstner, Lattice

SPARSE, DENSE = "keypoints", "dense grid"
REFINED = {False: "no", True: "yes"}
FIGURES = ("points", "mean mm", "p95 mm", "max mm", "seconds")


@dataclass(frozen=True)
class Row:
    """One registration."""

    pair: str
    form: str
    refined: bool
    points: float  # of the last level
    mean_mm: float
    p95_mm: float
    max_mm: float
    seconds: float  # of all of it, files not counted
    stages: dict[str, float]  # seconds of each


def main() -> None:
    """Registers all, prints both tables."""
    command_line = arguments()
    options = command_line.parse_args()
    chosen = known(options.pairs, options.phantoms)
    if not chosen:
        command_line.error("--pairs PAIRS with NAME/fixed.nii.gz, --phantoms N, or both needed, found no pair")
    keep_freed_memory()
    config, rows = PRESETS[options.preset], []
    warm_up(chosen[0], config)
    for case in chosen:
        for row in compared(case, config):
            rows.append(row)
            packages = environment(("graphreg", "torch"))
            content = {"environment": packages, "preset": options.preset, "rows": [asdict(row) for row in rows]}
            write_json(options.out / "dense_grid.json", content)
            told = (row.pair, row.form, "refined" * row.refined, f"{row.mean_mm:.2f} mm", f"{row.seconds:.1f} s")
            print(*filter(None, told), sep=" | ", file=sys.stderr, flush=True)
    print(machine(), table([mean(rows, form, refined) for form, refined in ways()]), table(rows), sep="\n\n")


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    found = parser(__doc__)
    found.add_argument("out", type=Path, metavar="OUT")
    found.add_argument("--pairs", type=Path)
    found.add_argument("--phantoms", type=int, default=1, metavar="N", help="seeds 0 to N - 1")
    found.add_argument("--preset", default="inhale-exhale", choices=list(PRESETS))
    return found


def ways() -> Iterator[tuple[str, bool]]:
    """Forms without refinement and with it, those that are compared next to one another."""
    return ((form, refined) for refined, form in product(REFINED, (SPARSE, DENSE)))


def warm_up(case: Case, config: RegistrationConfig) -> None:
    """What the first registration of a process alone has to pay."""
    register(case.read()[0], config=replace(config, levels=config.levels[:1]), device="cpu")


def compared(case: Case, config: RegistrationConfig) -> Iterator[Row]:
    """A pair in every way."""
    pair, points = case.read()
    volume_mm3 = region_mm3(pair, config)
    for form, refined in ways():
        levels = config.levels if form == SPARSE else tuple(dense(level, volume_mm3) for level in config.levels)
        own = replace(config, levels=levels, refinement=config.refinement if refined else ())
        start = time.perf_counter()
        done = register(pair, config=own, device="cpu")
        seconds = time.perf_counter() - start
        errors = summarise(tre(done.field, points))
        count, stages = len(done.keypoints.keypoints), {name: cost.seconds for name, cost in done.stages.items()}
        yield Row(case.name, form, refined, count, errors.mean_mm, errors.p95_mm, errors.max_mm, seconds, stages)


def region_mm3(pair: ImagePair, config: RegistrationConfig) -> float:
    """Volume of the fixed region, which is found where the pair comes without its mask."""
    mask = config.anatomy.find(pair.fixed) if pair.fixed_mask is None else pair.fixed_mask
    return mask_volume_mm3(mask, pair.fixed.grid)


def dense(level: LevelConfig, volume_mm3: float) -> LevelConfig:
    """The level on a lattice that has about as many points in a region of that volume as there are keypoints."""
    assert isinstance(level.sampler, Foerstner)
    spacing_mm = (volume_mm3 / level.sampler.count) ** (1 / 3)
    return replace(level, sampler=Lattice(spacing_mm=spacing_mm), graph=SixNeighbours(), interpolator=BSpline())


def mean(rows: Sequence[Row], form: str, refined: bool) -> Row:
    """What one way does on average over all pairs."""
    found = [row for row in rows if (row.form, row.refined) == (form, refined)]
    points, mean_mm, p95_mm, max_mm, seconds = (
        fmean(getattr(row, name) for row in found) for name in ("points", "mean_mm", "p95_mm", "max_mm", "seconds")
    )
    stages = {name: fmean(row.stages[name] for row in found) for name in found[0].stages}
    return Row(f"mean of {len(found)}", form, refined, points, mean_mm, p95_mm, max_mm, seconds, stages)


def table(rows: Sequence[Row]) -> str:
    """Errors, seconds in all, and seconds of every stage."""
    names = max((row.stages for row in rows), key=len)  # of those with refinement, in their order
    lines = [
        (row.pair, row.form, REFINED[row.refined], f"{row.points:.0f}")
        + tuple(f"{value:.2f}" for value in (row.mean_mm, row.p95_mm, row.max_mm, row.seconds))
        + tuple(f"{row.stages[name]:.2f}" if name in row.stages else "-" for name in names)
        for row in rows
    ]
    return markdown(["pair", "form", "refined", *FIGURES, *(f"{name} s" for name in names)], lines)


if __name__ == "__main__":
    main()
