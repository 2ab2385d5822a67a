"""What ``graphreg jacobian`` writes: the determinant of a motion on the fixed image, and what it says of the lungs."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from graphreg.analysis.quality import Regularity, regularity
from graphreg.analysis.regions import jacobian_on, log_jacobian
from graphreg.anatomy.lung_ct.ventilation import VolumeConsistency, smooth_within, volume_consistency
from graphreg.cli.checks import naming
from graphreg.cli.console import say
from graphreg.cli.maps import MappedMotion, Sources, files_of, lungs_of, mask_file_mm3, sentence
from graphreg.core.grid import Grid, mask_volume_mm3
from graphreg.io import read_transform, read_volume
from graphreg.io.maps import require_own

MARK = "jacobian.json"
MAPS, PICTURED = ("jacobian", "log_jacobian"), ("log_jacobian",)


def map_jacobian(sources: Sources, out: Path, smoothing_mm: float) -> None:
    """Writes the maps and says what they tell. Raises InputError before anything is written."""
    require_own(out, MARK, files_of(MAPS, PICTURED))
    field, image = read_transform(sources.transform), read_volume(sources.fixed)
    motion = sources.motion(field, image, lungs_of(image, sources.fixed, sources.fixed_mask))
    with naming(sources.fixed_mask or sources.fixed):
        quality = regularity(field, motion.lungs, image.grid)
    volumes = _volumes(quality, motion, sources.moving_mask)
    determinant = jacobian_on(field, image.grid)
    maps = _maps(motion, determinant, smoothing_mm)
    record = sources.provenance() | asdict(quality) | {"smoothing_mm": smoothing_mm}
    record |= {"volume_consistency": asdict(volumes)} if volumes else {}
    motion.write(out, MARK, maps, determinant, PICTURED, record)
    say("\n".join([_line(quality), *([sentence(volumes)] if volumes else []), f"maps in {out}"]))


def smooth_in(lungs: Tensor, data: Tensor, grid: Grid, smoothing_mm: float) -> Tensor:
    """Data (D, H, W) with a Gaussian mean in the lungs alone; as it is elsewhere."""
    return torch.where(lungs, smooth_within(data, lungs, grid, smoothing_mm), data) if smoothing_mm else data


def _maps(motion: MappedMotion, determinant: Tensor, smoothing_mm: float) -> Mapping[str, Tensor]:
    shown = smooth_in(motion.lungs, determinant, motion.image.grid, smoothing_mm)
    return {"jacobian": shown, "log_jacobian": log_jacobian(shown)}


def _volumes(quality: Regularity, motion: MappedMotion, moving_mask: Path | None) -> VolumeConsistency | None:
    """The motion against the volumes of both lungs, where those of the moving image are given."""
    if not moving_mask:
        return None
    ratio = mask_file_mm3(moving_mask) / mask_volume_mm3(motion.lungs, motion.image.grid)
    return volume_consistency(quality.mean_jacobian, ratio)


def _line(quality: Regularity) -> str:
    return (
        f"in the lungs: mean Jacobian {quality.mean_jacobian:.3f}, folding {quality.folding_percent:.3f} %, "
        f"SDlogJ {quality.sdlogj:.3f}"
    )
