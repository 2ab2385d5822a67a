"""What can be said of a registration without landmarks.  Scene, images, motion -> Quality

On grids of their own spacing, so that the same figure means the same whatever the settings.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from graphreg.analysis.agreement import local_ncc, ncc
from graphreg.analysis.metrics import dice
from graphreg.analysis.quality import mask_volume_mm3, regularity, similarity
from graphreg.core.records import DenseField, ImagePair, Motion, Quality, Volume
from graphreg.core.resampling import identity, resample, resample_mask
from graphreg.features.mind_ssc import DescriptorConfig, describe
from graphreg.scene import Scene

DESCRIPTORS_MM = 3.0  # spacing at which descriptors are compared
MATCH_MM = 2.0  # and intensities around each place
MATCHED = 0.5  # local correlation of a place that has found its like
TISSUE_HU = -300.0  # lung lies below


@dataclass(frozen=True)
class _Lungs:
    """What a mask holds in its image."""

    ml: float
    median_hu: float
    tissue_percent: float


def assess(
    scene: Scene, pair: ImagePair, masks: tuple[Tensor, Tensor], field: DenseField, apart_mm: float | None = None
) -> Quality:
    """Figures of a motion between two images with the masks (D, H, W) of their lungs."""
    fixed, moving = (_lungs(volume, mask) for volume, mask in zip((pair.fixed, pair.moving), masks, strict=True))
    return Quality(
        **_likeness(scene, field),
        **_matching(scene, field, pair),
        **asdict(regularity(field, masks[0], pair.fixed.grid)),
        volume_ratio=moving.ml / fixed.ml,
        **{f"fixed_lung_{name}": value for name, value in asdict(fixed).items()},
        **{f"moving_lung_{name}": value for name, value in asdict(moving).items()},
        inverse_consistency_mm=apart_mm,
    )


def _lungs(volume: Volume, mask: Tensor) -> _Lungs:
    values = volume.within(mask)
    return _Lungs(
        ml=mask_volume_mm3(mask, volume.grid) / 1000,
        median_hu=float(values.median()),
        tissue_percent=100 * int((values > TISSUE_HU).sum()) / len(values),
    )


def _likeness(scene: Scene, field: DenseField) -> dict[str, float]:
    """Agreement of descriptors and intensities in the fixed lungs after pre-alignment and under a field."""
    grid = scene.working_grid(DESCRIPTORS_MM)
    mask = scene.fixed_lungs(grid)
    config = DescriptorConfig(dilation_mm=DESCRIPTORS_MM, radius_mm=DESCRIPTORS_MM)
    fixed, moving = scene.prepared(DESCRIPTORS_MM)
    fixed = resample(fixed, grid, identity)
    features = describe(fixed, config)
    found = {}
    motions: dict[str, Motion] = {"before": scene.start, "after": field}
    for when, motion in motions.items():
        seen = resample(moving, grid, motion)
        found[f"similarity_{when}"] = similarity(features, describe(seen, config), mask)
        found[f"ncc_{when}"] = ncc(fixed.data, seen.data, mask)
    return found


def _matching(scene: Scene, field: DenseField, pair: ImagePair) -> dict[str, Any]:
    """How much of the fixed lungs the moving image shows, and how much of them has found its like there."""
    grid = scene.working_grid(MATCH_MM)
    mask = scene.fixed_lungs(grid)
    fixed, moving = scene.prepared(MATCH_MM)
    local = local_ncc(resample(fixed, grid, identity), resample(moving, grid, field), mask)[mask]
    points_mm = torch.cat([grid.points_mm(local, slab)[mask[slab]] for slab in grid.slabs()])
    return {
        "local_ncc": float(local.double().mean()),
        "matched_percent": 100 * float((local > MATCHED).double().mean()),
        "seen_percent": 100 * float(pair.moving.grid.contains(field(points_mm)).double().mean()),
        "lung_dice": dice(mask, resample_mask(scene.moving_mask, scene.moving_grid, grid, field)),
    }
