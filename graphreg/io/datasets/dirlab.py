"""DIR-Lab: ten 4DCT cases and ten pairs of COPDgene, raw voxels with 300 landmarks each, to records.

Castillo et al. (2009, 2013). The landmarks start at inhale (T00, iBH), so that is the fixed image; exhale (T50, eBH)
is the moving one. Files hold little-endian int16, x fastest, from the right anterior superior corner: z runs downwards
and is turned round here, which makes the axes LPS. Both scans of a case share one frame, its origin at the first voxel.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphreg.core.errors import PathInput, unsuitable
from graphreg.core.grid import Grid, Triple
from graphreg.core.records import ImagePair, Volume
from graphreg.io.datasets.case import MAIN, SIDES, Case, DataSet, read_table, refuse, voxels_to_mm

AIR_HU = -1024.0  # also what is added to the raw values, as everybody does: the authors do not tell
COUNT = 300  # landmarks that the published errors are of
SIDE = {"00": "fixed", "50": "moving", "i": "fixed", "e": "moving"}


class Scan(NamedTuple):
    """What is published of a case."""

    size: tuple[int, int, int]  # voxels (x, y, z)
    spacing_mm: Triple  # (x, y, z)
    identity_mm: float  # mean distance of the 300 landmarks before registration

    @property
    def grid(self) -> Grid:
        """Where the voxels sit once z runs upwards."""
        width, height, depth = self.size
        return Grid((depth, height, width), self.spacing_mm)


def _scan(width: int, depth: int, in_plane_mm: float, identity_mm: float) -> Scan:
    return Scan((width, width, depth), (in_plane_mm, in_plane_mm, 2.5), identity_mm)


FOUR_D = {
    1: _scan(256, 94, 0.97, 3.89),
    2: _scan(256, 112, 1.16, 4.34),
    3: _scan(256, 104, 1.15, 6.94),
    4: _scan(256, 99, 1.13, 9.83),
    5: _scan(256, 106, 1.10, 7.48),
    6: _scan(512, 128, 0.97, 10.89),
    7: _scan(512, 136, 0.97, 11.03),
    8: _scan(512, 128, 0.97, 14.99),
    9: _scan(512, 128, 0.97, 7.92),
    10: _scan(512, 120, 0.97, 7.30),
}
COPD = {
    1: _scan(512, 121, 0.625, 26.33),
    2: _scan(512, 102, 0.645, 21.79),
    3: _scan(512, 126, 0.652, 12.64),
    4: _scan(512, 126, 0.590, 29.58),
    5: _scan(512, 131, 0.647, 30.08),
    6: _scan(512, 119, 0.633, 28.46),
    7: _scan(512, 112, 0.625, 21.60),
    8: _scan(512, 115, 0.586, 26.46),
    9: _scan(512, 116, 0.664, 14.86),  # 0.644, which is in use too, gives 14.66
    10: _scan(512, 135, 0.742, 21.81),
}


class Kind(NamedTuple):
    """How the files of a data set are named: case number and phase in each, any case of letters, any folder."""

    name: str
    prefix: str
    scans: dict[int, Scan]
    patterns: dict[str, str]  # set of points, or "" for the image -> name of the file


KINDS = (
    Kind(
        "DIR-Lab 4DCT",
        "4dct",
        FOUR_D,
        {
            "": r"case(\d+)_t(00|50)(?:_s|-ssm)?\.img",
            f"_{MAIN}": r"case(\d+)_(?:dirlab)?300_t(00|50)_xyz\.txt",
            f"_{MAIN}_75": r"case(\d+)_4d-75_t(00|50)\.txt",
        },
    ),
    Kind(
        "DIR-Lab COPDgene",
        "copd",
        COPD,
        {"": r"copd(\d+)_([ie])bhct\.img", f"_{MAIN}": r"copd(\d+)_300_([ie])bh_xyz_r1\.txt"},
    ),
)


@dataclass(frozen=True)
class DirLabCase(Case):
    """A pair of raw files, with what their header would say."""

    scan: Scan = field(kw_only=True)

    def read(self) -> ImagePair:
        """Both scans in HU, z upwards, without the empty slices at their ends. Raises InputError."""
        fixed, moving = (_read_raw(self.inputs[side], self.scan.grid) for side in SIDES)
        return ImagePair(fixed, moving)

    def grids(self) -> tuple[Grid, Grid]:
        """The published grid, twice, after a look at the size of the files. Raises InputError."""
        for side in SIDES:
            _require_size(self.inputs[side], self.scan.grid)
        return self.scan.grid, self.scan.grid

    def _points(self, side: str, name: str) -> Tensor:
        grid = self.scan.grid
        voxels = read_table(self.inputs[f"{side}_{name}"], 3) - 1  # (1, 1, 1) is the centre of the first voxel
        voxels[:, 2] = grid.shape[0] - 1 - voxels[:, 2]
        return voxels_to_mm(voxels, grid)


def read_dirlab(folder: PathInput, kind: Kind) -> DataSet | None:
    """The cases whose files lie anywhere in a folder; None where there are none. Raises InputError."""
    cases: list[Case] = []
    problems: list[str] = []
    for number, files in sorted(_files_by_case(Path(folder), kind).items()):
        name = f"{kind.prefix}{number}"
        wanted = {f"{side}{points}" for points in ("", *_sets(files)) for side in SIDES}
        lacking = sorted(wanted - files.keys())
        twice = {role: paths for role, paths in files.items() if len({p.name.lower() for p in paths}) < len(paths)}
        problems += [f"{folder}: {name}: a file for {role} needed, nothing found" for role in lacking]
        problems += [f"{folder}: {name}: one file for {role} needed, {len(p)} found" for role, p in twice.items()]
        scan = kind.scans[number]
        inputs = {role: files[role][0] for role in sorted(files)}  # _landmarks before _landmarks_75
        published = scan.identity_mm if f"fixed_{MAIN}" in inputs else None
        cases.append(DirLabCase(name, inputs, True, published, scan=scan))
    refuse(problems)
    return DataSet(kind.name, tuple(cases)) if cases else None


def published_scan(name: str) -> Scan | None:
    """What is published of a case of this name: copd1 or 4dct1, also DIR-Lab_COPD_01 and the like."""
    match = re.fullmatch(r"(?:dir-?lab[ _-]?)?(4dct|copd)[ _-]?(?:case[ _-]?)?0*(\d+)", name.lower())
    scans = next((kind.scans for kind in KINDS if match and kind.prefix == match[1]), {})
    return scans.get(int(match[2])) if match else None


def _files_by_case(folder: Path, kind: Kind) -> dict[int, dict[str, list[Path]]]:
    """Case number -> role -> files, the plainest name first: some archives hold an image as _s and as -ssm."""
    found: dict[int, dict[str, list[Path]]] = {}
    for path in sorted(folder.rglob("*"), key=lambda p: ("-ssm" in p.name.lower(), str(p))):
        for number, role in _roles(path, kind):
            if number in kind.scans and path.is_file():
                found.setdefault(number, {}).setdefault(role, []).append(path)
    return found


def _roles(path: Path, kind: Kind) -> Iterator[tuple[int, str]]:
    for points, pattern in kind.patterns.items():
        match = re.fullmatch(pattern, path.name.lower())
        if match:
            yield int(match[1]), f"{SIDE[match[2]]}{points}"


def _sets(files: dict[str, list[Path]]) -> set[str]:
    return {role.removeprefix("fixed").removeprefix("moving") for role in files} - {""}


def _require_size(path: Path, grid: Grid) -> None:
    need, found = 2 * grid.voxels, path.stat().st_size
    if found != need:
        size = " x ".join(str(n) for n in grid.shape[::-1])
        raise unsuitable(path, f"{need} bytes ({size} voxels of two bytes)", f"{found} bytes")


def _read_raw(path: Path, grid: Grid) -> Volume:
    """An image in HU. Slices of one value at the ends were never scanned: they would pass for air that is breathed."""
    _require_size(path, grid)
    raw = torch.from_numpy(np.fromfile(path, "<i2").astype(np.float32)).reshape(grid.shape)
    data = (raw.flip(0) + AIR_HU).clamp_(min=AIR_HU)  # below it lies what the scanner did not see
    slices = data.flatten(1)
    scanned = (slices.amax(1) > slices.amin(1)).nonzero()
    if not len(scanned):
        raise unsuitable(path, "an image with contrast", "slices of one value each")
    spans = (slice(int(scanned[0]), int(scanned[-1]) + 1), *(slice(0, n) for n in grid.shape[1:]))
    return Volume(grid.part(spans), data[spans[0]], "int16")
