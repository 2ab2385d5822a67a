"""What can be said of a registration without landmarks.  prepared pair, motion -> Quality

On grids and with descriptors of their own, so that the same figure means the same whatever the settings.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from graphreg.analysis.agreement import local_ncc, ncc
from graphreg.analysis.metrics import dice
from graphreg.analysis.quality import regularity, similarity
from graphreg.core.figures import Quality
from graphreg.core.grid import mask_volume_mm3
from graphreg.core.prepared import PreparedPair
from graphreg.core.records import DenseField, Motion, Subject
from graphreg.features.mind_ssc import MindSSC

DESCRIPTORS_MM = 3.0  # spacing at which descriptors are compared
DESCRIPTORS = MindSSC(dilation_mm=DESCRIPTORS_MM, radius_mm=DESCRIPTORS_MM)
MATCH_MM = 2.0  # and intensities around each place
MATCHED = 0.5  # local correlation of a place that has found its like


def assess(
    pair: PreparedPair,
    subjects: tuple[Subject, Subject],
    field: DenseField,
    anatomy: Mapping[str, float],
    apart_mm: float | None = None,
) -> Quality:
    """Figures of a motion from the first subject to the second, beside those that their anatomy adds."""
    fixed, moving = subjects
    fixed_ml, moving_ml = (mask_volume_mm3(s.mask, s.image.grid) / 1000 for s in subjects)
    return Quality(
        **_likeness(pair, field),
        **_matching(pair, field, moving),
        **asdict(regularity(field, fixed.mask, fixed.image.grid)),
        volume_ratio=moving_ml / fixed_ml,
        anatomy=anatomy,
        inverse_consistency_mm=apart_mm,
    )


def _likeness(pair: PreparedPair, field: DenseField) -> dict[str, float]:
    """Agreement of descriptors and intensities in the fixed region after pre-alignment and under a field."""
    grid = pair.working_grid(DESCRIPTORS_MM)
    mask, fixed = pair.fixed_region(grid), pair.fixed_on(grid, DESCRIPTORS_MM)
    features = DESCRIPTORS(fixed)
    found = {}
    motions: dict[str, Motion] = {"before": pair.start, "after": field}
    for when, motion in motions.items():
        seen = pair.moving_on(grid, DESCRIPTORS_MM, motion)
        found[f"similarity_{when}"] = similarity(features, DESCRIPTORS(seen), mask)
        found[f"ncc_{when}"] = ncc(fixed.data, seen.data, mask)
    return found


def _matching(pair: PreparedPair, field: DenseField, moving: Subject) -> dict[str, Any]:
    """How much of the fixed region the moving image shows, and how much of it has found its like there."""
    grid = pair.working_grid(MATCH_MM)
    mask = pair.fixed_region(grid)
    local = local_ncc(pair.fixed_on(grid, MATCH_MM), pair.moving_on(grid, MATCH_MM, field), mask)[mask]
    points_mm = torch.cat([grid.points_mm(local, slab)[mask[slab]] for slab in grid.slabs()])
    return {
        "local_ncc": float(local.double().mean()),
        "matched_percent": 100 * float((local > MATCHED).double().mean()),
        "seen_percent": 100 * float(moving.image.grid.contains(field(points_mm)).double().mean()),
        "mask_dice": dice(mask, pair.moving_region(grid, field)),
    }
