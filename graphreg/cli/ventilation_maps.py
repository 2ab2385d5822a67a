"""What ``graphreg ventilation`` writes: maps of the air that came in, and which of both images shows inhale."""

from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from graphreg.analysis.regions import Region, jacobian_on
from graphreg.anatomy.lung_ct.ventilation import (
    MAPS,
    VentilationConfig,
    VolumeConsistency,
    require_unfolded,
    ventilation,
    volume_consistency,
)
from graphreg.cli.checks import naming
from graphreg.cli.console import say
from graphreg.cli.maps import Sources, files_of, hu_lungs, sentence
from graphreg.cli.names import Phase
from graphreg.core.errors import unsuitable
from graphreg.core.grid import mask_volume_mm3
from graphreg.core.records import ImagePair
from graphreg.io import read_pair, read_transform
from graphreg.io.maps import require_own

MARK = "ventilation.json"
NAMES = tuple(f"ventilation_{name}" for name in MAPS)
CLEAR = 0.02  # relative change of volume that tells inhale from exhale


def map_ventilation(sources: Sources, out: Path, phase: Phase, smoothing_mm: float) -> None:
    """Writes the maps and says what they tell. Raises InputError before anything is written."""
    config = VentilationConfig(smoothing_mm=smoothing_mm)
    require_own(out, MARK, files_of(NAMES, NAMES))
    field, pair = read_transform(sources.transform), _read(sources)
    motion = sources.motion(field, pair.fixed, _lungs(pair.fixed_mask))
    determinant = jacobian_on(field, pair.fixed.grid)
    volumes = _volumes(sources, pair, determinant)
    inhale = _fixed_is_inhale(phase, volumes, sources)
    with naming(f"{sources.fixed} and {sources.moving}"):
        found = ventilation(pair, field, inhale, config)
    maps = {f"ventilation_{name}": values for name, values in found.items()}
    record = sources.provenance() | {"configuration": asdict(config)}
    record |= {"fixed_is_inhale": inhale, "volume_consistency": asdict(volumes)}
    regions = motion.write(out, MARK, maps, determinant, NAMES, record)
    say(_text(inhale, volumes, regions, out))


def _read(sources: Sources) -> ImagePair:
    """The pair with both masks, given or found, of images in HU."""
    assert sources.moving is not None
    pair = read_pair(sources.fixed, sources.moving, sources.fixed_mask, sources.moving_mask)
    fixed_mask = hu_lungs(pair.fixed, sources.fixed, pair.fixed_mask)
    return ImagePair(pair.fixed, pair.moving, fixed_mask, hu_lungs(pair.moving, sources.moving, pair.moving_mask))


def _lungs(mask: Tensor | None) -> Tensor:
    assert mask is not None
    return mask


def _volumes(sources: Sources, pair: ImagePair, determinant: Tensor) -> VolumeConsistency:
    """The determinant (D, H, W) in the lungs against their volumes. Raises InputError where it is not positive."""
    fixed_mask, moving_mask = _lungs(pair.fixed_mask), _lungs(pair.moving_mask)
    with naming(sources.transform):
        require_unfolded(determinant[fixed_mask])
    ratio = mask_volume_mm3(moving_mask, pair.moving.grid) / mask_volume_mm3(fixed_mask, pair.fixed.grid)
    return volume_consistency(determinant[fixed_mask].double().mean().item(), ratio)


def _fixed_is_inhale(phase: Phase, volumes: VolumeConsistency, sources: Sources) -> bool:
    """The given phase, or that of the masks. Raises InputError where they or the motion tell otherwise."""
    transform, fixed, moving = sources.transform, sources.fixed, sources.moving
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


def _text(inhale: bool, volumes: VolumeConsistency, regions: list[Region], out: Path) -> str:
    """The phase, the volumes, and the median of every map in a line per region."""
    width = max(len(region.name) for region in regions) + 2
    lines = [f"fixed image: {'inhale' if inhale else 'exhale'}", sentence(volumes)]
    lines.append(f"{'median':<{width}}" + "".join(f"{name:>12}" for name in MAPS))
    for region in regions:
        lines.append(f"{region.name:<{width}}" + "".join(f"{spread.median:12.3f}" for spread in region.maps.values()))
    return "\n".join([*lines, f"maps in {out}"])
