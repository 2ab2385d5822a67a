"""What the refinement is worth, and which objective, metric and gradient: one table.

PAIRS is a folder of pairs as in ``accuracy.py``, measured at their landmarks; phantoms are measured all over their
lungs. Masks are given. Every variant starts from the same motion, that of the levels; seconds are those of the
refinement alone. usage:

    python benchmarks/refinement.py [--pairs PAIRS] [--phantoms N]
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from regularisers import machine, markdown, pairs

from graphreg import PRESETS, ImagePair, Landmarks, summarise, tre
from graphreg.analysis.quality import regularity
from graphreg.config import RefinementConfig
from graphreg.core.records import DenseField
from graphreg.features.mind_ssc import DescriptorConfig
from graphreg.pipeline import register
from graphreg.refinement import FeatureConfig
from graphreg.refining import refine_field
from graphreg.runtime.malloc import keep_freed_memory
from graphreg.runtime.monitor import Monitor
from graphreg.scene import find_masks, open_scene

CONFIG = PRESETS["inhale-exhale"]
(DENSE,) = CONFIG.refinement
LINEARISED = FeatureConfig(gradient="linearised")
DIFFUSION = FeatureConfig(penalty="diffusion", smoothness=1.0)
MIND = DescriptorConfig(dilation_mm=2.0, radius_mm=1.0), FeatureConfig(smoothness=1.0)
Row = tuple[float, ...]

VARIANTS: dict[str, Callable[[RefinementConfig], RefinementConfig]] = {
    "NCC (default)": lambda dense: dense,
    "NCC, linearised gradient": lambda dense: replace(dense, features=LINEARISED),
    "NCC, diffusion": lambda dense: replace(dense, features=DIFFUSION),
    "MIND-SSC": lambda dense: replace(dense, metric="mind", descriptors=MIND[0], features=MIND[1]),
    "intensities": lambda dense: replace(dense, metric="mse"),
}
COSTS = RefinementConfig(name="cubes", objective="costs")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--phantoms", type=int, default=0, metavar="N", help="seeds 0 to N - 1")
    options = parser.parse_args()
    keep_freed_memory()
    rows: dict[str, list[Row]] = {}
    chosen = pairs(options.pairs, options.phantoms)
    for case in chosen:
        for name, row in measured(*case.read()):
            rows.setdefault(name, []).append(row)
            print(case.name, name, *(f"{v:.3f}" for v in row), file=sys.stderr)
    header = ["variant", *(case.name for case in chosen), "mean mm", "p95 mm", "folding %", "seconds"]
    lines = []
    for name, found in rows.items():
        means, *others = zip(*found, strict=True)
        lines.append([name, *(f"{v:.3f}" for v in (*means, fmean(means))), *(f"{fmean(v):.2f}" for v in others)])
    print(machine(), markdown(header, lines), sep="\n\n")


@torch.no_grad()
def measured(pair: ImagePair, points: Landmarks) -> list[tuple[str, Row]]:
    """Mean and 95th percentile of the error in mm, folding in per cent and seconds of every variant."""
    mask = pair.fixed_mask
    assert mask is not None
    found: list[tuple[str, Row]] = []

    def add(name: str, motion: DenseField, seconds: float) -> None:
        errors = summarise(tre(motion, points))
        folding = regularity(motion, mask, pair.fixed.grid).folding_percent
        found.append((name, (errors.mean_mm, errors.p95_mm, folding, seconds)))

    start = register(pair, config=replace(CONFIG, refinement=())).field
    add("none", start, 0.0)
    cubes = register(pair, config=replace(CONFIG, refinement=(COSTS,)))
    add("costs of the keypoints", cubes.field, cubes.stages["refinement"].seconds)
    monitor = Monitor(1, torch.device("cpu"))
    scene = open_scene(pair, find_masks(pair, CONFIG, monitor), CONFIG, monitor)
    for name, change in VARIANTS.items():
        before = time.perf_counter()
        motion, _ = refine_field(start, change(DENSE), scene, 0)
        add(name, motion, time.perf_counter() - before)
    return found


if __name__ == "__main__":
    main()
