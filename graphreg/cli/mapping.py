"""``graphreg jacobian`` and ``graphreg ventilation``: what a transform tells of the volume of tissue, as maps."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from graphreg.analysis.quality import mask_volume_mm3, regularity
from graphreg.analysis.regions import Region, jacobian_on, log_jacobian
from graphreg.anatomy.lung_ct.ventilation import (
    MAPS,
    VentilationConfig,
    VolumeConsistency,
    require_unfolded,
    smooth_within,
    volume_consistency,
)
from graphreg.anatomy.lung_ct.ventilation import ventilation as ventilation_maps
from graphreg.cli import options
from graphreg.cli.console import say
from graphreg.cli.maps import Scene, files_of, hu_lungs, lungs_of, mask_file_mm3, naming, origin
from graphreg.core.errors import unsuitable
from graphreg.core.grid import Grid
from graphreg.core.records import ImagePair
from graphreg.io import read_pair, read_transform, read_volume
from graphreg.io.images import read_labels
from graphreg.io.maps import require_own

JACOBIAN, VENTILATION = "jacobian.json", "ventilation.json"
JACOBIANS, PICTURED = ("jacobian", "log_jacobian"), ("log_jacobian",)
VENTILATIONS = tuple(f"ventilation_{name}" for name in MAPS)
CLEAR = 0.02  # relative change of volume that tells inhale from exhale


class Phase(StrEnum):
    """Which breathing state the fixed image shows."""

    AUTO = "auto"
    INHALE = "fixed-inhale"
    EXHALE = "fixed-exhale"


OutMaps = Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Folder for the maps.")]
Fixed = Annotated[Path, typer.Option(metavar="FIXED", help=f"The fixed image: {options.IMAGE}, in HU.")]
Moving = Annotated[Path, typer.Option(metavar="MOVING", help="The moving image; formats as for FIXED.")]
MovingLungs = Annotated[
    Path | None, typer.Option("--moving-mask", metavar="FILE", help="Lungs of MOVING: their volume to compare with.")
]
Labels = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Whole numbers on the grid of FIXED: a row of regions.csv each.")
]
FixedPhase = Annotated[Phase, typer.Option("--phase", help="What FIXED is; auto: inhale if its lungs are the larger.")]
Smoothing = Annotated[
    float,
    typer.Option(
        metavar="MM",
        min=0,
        max=100,
        callback=options.finite,
        help="Standard deviation of the Gaussian over the maps in the lungs.",
    ),
]


def jacobian(
    transform: options.Transform,
    out: OutMaps,
    fixed: Fixed,
    fixed_mask: options.FixedMask = None,
    moving_mask: MovingLungs = None,
    labels: Labels = None,
    smoothing_mm: Smoothing = 0.0,
    debug: options.Debug = False,
) -> None:
    """Map the change of volume from FIXED to MOVING.

    FOLDER gets, on the grid of FIXED, jacobian.nii.gz (moving over fixed volume of the tissue at every voxel) and
    log_jacobian.nii.gz with its picture; regions.csv, volumes in ml and their change in both lungs and in every label;
    jacobian.json, all figures.
    """
    require_own(out, JACOBIAN, files_of(JACOBIANS, PICTURED))
    field, image = read_transform(transform), read_volume(fixed)
    lungs = lungs_of(image, fixed, fixed_mask)
    scene = Scene(field, image, lungs, read_labels(labels, image.grid, fixed) if labels else None)
    scene.require_covered(transform, fixed, labels)
    moving_mm3 = mask_file_mm3(moving_mask) if moving_mask else None
    determinant = jacobian_on(field, image.grid)
    shown = smooth_in(lungs, determinant, image.grid, smoothing_mm)
    maps = {"jacobian": shown, "log_jacobian": log_jacobian(shown)}
    quality = regularity(field, lungs, image.grid)
    figures: dict[str, Any] = asdict(quality) | {"smoothing_mm": smoothing_mm}
    said = [
        f"in the lungs: mean Jacobian {quality.mean_jacobian:.3f}, folding {quality.folding_percent:.3f} %, "
        f"SDlogJ {quality.sdlogj:.3f}"
    ]
    if moving_mm3:
        volumes = volume_consistency(quality.mean_jacobian, moving_mm3 / mask_volume_mm3(lungs, image.grid))
        figures["volume_consistency"] = asdict(volumes)
        said.append(_sentence(volumes))
    record = origin(transform, fixed, None, fixed_mask, moving_mask, labels) | figures
    scene.write(out, JACOBIAN, maps, determinant, PICTURED, record)
    say("\n".join([*said, f"maps in {out}"]))


def ventilation(
    transform: options.Transform,
    out: OutMaps,
    fixed: Fixed,
    moving: Moving,
    fixed_mask: options.FixedMask = None,
    moving_mask: options.MovingMask = None,
    labels: Labels = None,
    phase: FixedPhase = Phase.AUTO,
    smoothing_mm: Smoothing = VentilationConfig.smoothing_mm,
    debug: options.Debug = False,
) -> None:
    """Map where air came in, from exhale to inhale.

    FOLDER gets ventilation_NAME.nii.gz and .png on the grid of FIXED, (inhale - exhale) / exhale whichever FIXED is.
    NAME is jac and integrated, of the volume of tissue; hu, hu_mass (corrected for the change of mass) and sacj (HU and
    Jacobian), of its air. 0 is no value. regions.csv has both lungs and every label; ventilation.json all figures.
    """
    config = VentilationConfig(smoothing_mm=smoothing_mm)
    require_own(out, VENTILATION, files_of(VENTILATIONS, VENTILATIONS))
    field = read_transform(transform)
    pair = _with_lungs(read_pair(fixed, moving, fixed_mask, moving_mask), fixed, moving)
    assert pair.fixed_mask is not None and pair.moving_mask is not None
    lungs, grid = pair.fixed_mask, pair.fixed.grid
    scene = Scene(field, pair.fixed, lungs, read_labels(labels, grid, fixed) if labels else None)
    scene.require_covered(transform, fixed, labels)
    determinant = jacobian_on(field, grid)
    with naming(transform):
        require_unfolded(determinant[lungs])
    ratio = mask_volume_mm3(pair.moving_mask, pair.moving.grid) / mask_volume_mm3(lungs, grid)
    volumes = volume_consistency(determinant[lungs].double().mean().item(), ratio)
    inhale = _fixed_is_inhale(phase, volumes, (transform, fixed, moving))
    with naming(f"{fixed} and {moving}"):
        found = ventilation_maps(pair, field, inhale, config)
    maps = {f"ventilation_{name}": values for name, values in found.items()}
    record = origin(transform, fixed, moving, fixed_mask, moving_mask, labels)
    record |= {"configuration": asdict(config), "fixed_is_inhale": inhale, "volume_consistency": asdict(volumes)}
    regions = scene.write(out, VENTILATION, maps, determinant, VENTILATIONS, record)
    say(_ventilation_text(inhale, volumes, regions, out))


def smooth_in(lungs: Tensor, data: Tensor, grid: Grid, smoothing_mm: float) -> Tensor:
    """Data (D, H, W) with a Gaussian mean in the lungs alone; as it is elsewhere."""
    return torch.where(lungs, smooth_within(data, lungs, grid, smoothing_mm), data) if smoothing_mm else data


def _with_lungs(pair: ImagePair, fixed: Path, moving: Path) -> ImagePair:
    """The pair with both masks, given or found, of images in HU."""
    masks = hu_lungs(pair.fixed, fixed, pair.fixed_mask), hu_lungs(pair.moving, moving, pair.moving_mask)
    return ImagePair(pair.fixed, pair.moving, *masks)


def _fixed_is_inhale(phase: Phase, volumes: VolumeConsistency, files: tuple[Path, Path, Path]) -> bool:
    """The given phase, or that of the masks. Raises InputError where they or the motion tell otherwise."""
    transform, fixed, moving = files
    ratio, mean = volumes.volume_ratio, volumes.mean_jacobian
    if phase is Phase.AUTO:
        if abs(ratio - 1) <= CLEAR:
            need = "lungs of different volume to tell inhale from exhale, or --phase,"
            raise unsuitable(f"{fixed} and {moving}", need, f"a ratio of {ratio:.3f}")
        if _tells(mean) not in (None, ratio < 1):
            need = f"a motion from {fixed} to {moving}, whose lungs are {ratio:.2f} times as large,"
            raise unsuitable(transform, need, f"a mean Jacobian of {mean:.2f} (are the images swapped?)")
        return ratio < 1
    inhale = phase is Phase.INHALE
    if not {_tells(ratio), _tells(mean)} <= {None, inhale}:
        need = f"{'smaller' if inhale else 'larger'} lungs in {moving} than in {fixed}"
        found = f"{ratio:.2f} times the volume in the masks and a mean Jacobian of {mean:.2f}"
        raise unsuitable(f"--phase {phase}", need, f"{found} (are inhale and exhale swapped?)")
    return inhale


def _tells(ratio: float) -> bool | None:
    """Whether the fixed lungs are the inhaled ones, from moving over fixed volume; None where that is not clear."""
    return None if abs(ratio - 1) <= CLEAR else ratio < 1


def _sentence(volumes: VolumeConsistency) -> str:
    return (
        f"mean Jacobian {volumes.mean_jacobian:.3f}, ratio of the lung masks {volumes.volume_ratio:.3f}: "
        f"{volumes.difference_percent:+.1f} %"
    )


def _ventilation_text(inhale: bool, volumes: VolumeConsistency, regions: list[Region], out: Path) -> str:
    """The phase, the volumes, and the median of every map in a line per region."""
    width = max(len(region.name) for region in regions) + 2
    lines = [f"fixed image: {'inhale' if inhale else 'exhale'}", _sentence(volumes)]
    lines.append(f"{'median':<{width}}" + "".join(f"{name:>12}" for name in MAPS))
    for region in regions:
        lines.append(f"{region.name:<{width}}" + "".join(f"{spread.median:12.3f}" for spread in region.maps.values()))
    return "\n".join([*lines, f"maps in {out}"])
