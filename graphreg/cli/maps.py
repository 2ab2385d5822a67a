"""What the verbs that write maps share: their files, the lungs of an image, the checks of both, and what is written."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphreg import __version__
from graphreg.analysis.regions import Region, label_regions, measure
from graphreg.anatomy.lung_ct import PICTURE_WINDOW
from graphreg.anatomy.lung_ct.doubts import LUNG_HU
from graphreg.anatomy.lung_ct.mask import find_lungs
from graphreg.anatomy.lung_ct.sides import lung_regions
from graphreg.anatomy.lung_ct.ventilation import VolumeConsistency
from graphreg.cli.checks import naming
from graphreg.core.errors import unsuitable
from graphreg.core.grid import mask_volume_mm3
from graphreg.core.records import DenseField, Volume
from graphreg.core.resampling import identity, resample_mask
from graphreg.io import read_mask
from graphreg.io.fingerprints import fingerprint
from graphreg.io.images import read_grid, read_labels
from graphreg.io.maps import TABLE, draw_map, limits, write_maps

Names = tuple[str, ...]

BEYOND = 0.01  # share of a region that may lie outside the field


@dataclass(frozen=True, eq=False)
class MappedMotion:
    """A motion over a fixed image with its lungs and labels (D, H, W), of which maps are made."""

    field: DenseField
    image: Volume
    lungs: Tensor
    labels: Tensor | None

    def regions(self, jacobian: Tensor, maps: Mapping[str, Tensor]) -> list[Region]:
        """Both lungs, then the labels."""
        grid = self.image.grid
        lungs = lung_regions(self.lungs, grid).items()
        rows = [measure(name, None, mask, jacobian, maps, grid) for name, mask in lungs]
        labels = label_regions(self.labels) if self.labels is not None else ()
        return rows + [measure(f"label {n}", n, mask, jacobian, maps, grid) for n, mask in labels]

    def write(
        self,
        out: Path,
        mark: str,
        maps: Mapping[str, Tensor],
        jacobian: Tensor,
        pictured: Names,
        record: dict[str, Any],
    ) -> list[Region]:
        """The files of a verb; returns the regions."""
        regions = self.regions(jacobian, maps)
        rows = [region.row() for region in regions]
        pictures, shown = {}, {}
        for name in pictured:
            diverging = name == "log_jacobian"
            values = maps[name].masked_fill(~self.lungs, torch.nan)
            shown[name] = limits(values, diverging)
            pictures[name] = draw_map(self.image, self.lungs, values, shown[name], diverging, PICTURE_WINDOW)
        write_maps(
            out, self.image.grid, maps, pictures, rows, (mark, record | {"picture_limits": shown, "regions": rows})
        )
        return regions


@dataclass(frozen=True)
class Sources:
    """The files that maps are made from."""

    transform: Path
    fixed: Path
    moving: Path | None
    fixed_mask: Path | None
    moving_mask: Path | None
    labels: Path | None

    def motion(self, field: DenseField, image: Volume, lungs: Tensor) -> MappedMotion:
        """The motion over the fixed image. Raises InputError where its lungs or labels lie beyond the field."""
        labels = read_labels(self.labels, image.grid, self.fixed) if self.labels else None
        motion = MappedMotion(field, image, lungs, labels)
        self._require_covered(motion)
        return motion

    def _require_covered(self, motion: MappedMotion) -> None:
        known = torch.ones(motion.field.grid.shape, dtype=torch.bool)
        known = resample_mask(known, motion.field.grid, motion.image.grid, identity)
        for region, name in ((motion.lungs, f"the lungs of {self.fixed}"), (motion.labels, str(self.labels))):
            if region is not None:
                missed = (~known[region != 0]).double().mean().item()
                if missed > BEYOND:
                    found = f"one without {100 * missed:.0f} % of them"
                    raise unsuitable(self.transform, f"a field over {name}", found)

    def provenance(self) -> dict[str, Any]:
        """What a result was made from: the program, and every file with its hash."""
        given: dict[str, Path | None] = {field.name: getattr(self, field.name) for field in fields(self)}
        inputs = {role: file and {"path": str(file), "sha256": fingerprint(file)} for role, file in given.items()}
        return {"graphreg": __version__, "inputs": inputs}


def files_of(maps: Names, pictured: Names) -> list[str]:
    """Names of all files of a verb but its record."""
    return [TABLE, *(f"{name}.nii.gz" for name in maps), *(f"{name}.png" for name in pictured)]


def lungs_of(image: Volume, path: Path, mask: Path | None) -> Tensor:
    """Lungs (D, H, W) of an image, read or found."""
    if mask:
        return read_mask(mask, image.grid, path)
    with naming(path):
        return find_lungs(image)


def hu_lungs(image: Volume, path: Path, mask: Tensor | None) -> Tensor:
    """Lungs (D, H, W) of an image that must be in HU, given or found."""
    lungs = lungs_of(image, path, None) if mask is None else mask
    typical = image.within(lungs).median().item()
    if not LUNG_HU[0] <= typical <= LUNG_HU[1]:
        need = f"an image in HU, with a median of {LUNG_HU[0]:.0f} to {LUNG_HU[1]:.0f} in the lungs"
        raise unsuitable(path, need, f"one of {typical:.0f}")
    return lungs


def mask_file_mm3(mask: Path) -> float:
    """Volume of a mask in a file, on whatever grid."""
    grid = read_grid(mask)
    return mask_volume_mm3(read_mask(mask, grid, mask), grid)


def sentence(volumes: VolumeConsistency) -> str:
    """How well the motion agrees with the volumes of the masks."""
    return (
        f"mean Jacobian {volumes.mean_jacobian:.3f}, ratio of the lung masks {volumes.volume_ratio:.3f}: "
        f"{volumes.difference_percent:+.1f} %"
    )
