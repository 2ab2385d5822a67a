"""What the refinement is worth, and which objective, metric and gradient: one table.

PAIRS is a folder of pairs as in ``accuracy.py``, measured at their landmarks; phantoms are measured all over their
lungs. Masks are given. Every variant starts from the same motion, that of the levels; seconds are those of the
refinement alone. usage:

    python benchmarks/refinement.py [--pairs PAIRS] [--phantoms N]
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from common import machine, markdown, parser
from truth import known

from graphreg import PRESETS, ImagePair, Landmarks, summarise, tre
from graphreg.analysis.quality import regularity
from graphreg.core.estimate import Estimate
from graphreg.core.protocols import Refinement
from graphreg.core.unfolding import unfold
from graphreg.features import Intensities, MindSSC
from graphreg.pipeline import estimate_motion, find_regions, prealign
from graphreg.refinement import DenseRefinement, KeypointRefinement
from graphreg.refinement.feature_difference import Comparison
from graphreg.runtime.malloc import keep_freed_memory
from graphreg.runtime.monitor import Monitor

CONFIG = replace(PRESETS["inhale-exhale"], refinement=())
(DENSE,) = (one for one in PRESETS["inhale-exhale"].refinement if isinstance(one, DenseRefinement))
MIND = MindSSC(dilation_mm=2.0, radius_mm=1.0)
Row = tuple[float, ...]

VARIANTS: dict[str, Refinement] = {
    "costs of the keypoints": KeypointRefinement(),
    "NCC (default)": DENSE,
    "NCC, linearised gradient": replace(DENSE, comparison=Comparison(gradient="linearised")),
    "NCC, diffusion": replace(DENSE, comparison=Comparison(penalty="diffusion", smoothness=1.0)),
    "MIND-SSC": replace(DENSE, features=MIND, comparison=Comparison(smoothness=1.0)),
    "intensities": replace(DENSE, features=Intensities()),
}


def main() -> None:
    """Prints the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--pairs", type=Path)
    arguments.add_argument("--phantoms", type=int, default=0, metavar="N", help="seeds 0 to N - 1")
    options = arguments.parse_args()
    keep_freed_memory()
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # the first imports much of torch, which no row should pay
    rows: dict[str, list[Row]] = {}
    chosen = known(options.pairs, options.phantoms)
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
    found: list[tuple[str, Row]] = []
    monitor = Monitor(1, torch.device("cpu"))
    subjects = find_regions(pair, CONFIG.anatomy, monitor)
    prepared = prealign(subjects, CONFIG, monitor)
    start, _ = estimate_motion(prepared, CONFIG, monitor, 0)

    def add(name: str, estimate: Estimate, seconds: float) -> None:
        motion = estimate.motion
        field = unfold(motion, prepared.fixed_region(motion.grid), CONFIG.smallest_jacobian)  # as a registration does
        errors = summarise(tre(field, points))
        folding = regularity(field, subjects[0].mask, pair.fixed.grid).folding_percent
        found.append((name, (errors.mean_mm, errors.p95_mm, folding, seconds)))

    add("none", start, 0.0)
    for name, refine in VARIANTS.items():
        before = time.perf_counter()
        estimate, _ = refine(start, prepared, 0)
        add(name, estimate, time.perf_counter() - before)
    return found


if __name__ == "__main__":
    main()
