"""A pair of scans with the points that measure it, whatever data set it comes from.

Points given in voxels become LPS mm by the header of the image they lie in: nothing is assumed of its axes.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from graphreg.core.errors import InputError, PathInput, unsuitable
from graphreg.core.grid import Grid
from graphreg.core.records import ImagePair, Landmarks
from graphreg.io.images import read_grid, read_pair
from graphreg.io.landmarks import read_landmarks, read_points

SIDES = ("fixed", "moving")
MAIN = "landmarks"  # the set of points that experts placed; others have names of their own
NAME = re.compile(r"[^\W][^/\\:*?\"<>|]*(?<![. ])")  # not what a program takes for an option, a formula or hidden
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # what no file of Windows can be called
LONGEST_NAME = 200  # bytes; file systems take 255


@dataclass(frozen=True)
class Case:
    """Files of one pair, nothing read yet; images as graphreg reads them, points in LPS mm."""

    name: str
    inputs: dict[str, Path]  # role -> file: fixed, moving, fixed_mask, moving_mask, fixed_landmarks, ...
    fixed_is_inhale: bool | None = None  # None: the data set does not tell
    published_identity_mm: float | None = None  # mean distance of the first set of landmarks before any registration

    def read(self) -> ImagePair:
        """Both images and the masks there are. Raises InputError."""
        return read_pair(*(self.inputs[side] for side in SIDES), *(self.inputs.get(f"{side}_mask") for side in SIDES))

    def grids(self) -> tuple[Grid, Grid]:
        """Where the voxels of the fixed and the moving image sit, from the headers. Raises InputError."""
        return read_grid(self.inputs["fixed"]), read_grid(self.inputs["moving"])

    def landmarks(self) -> dict[str, Landmarks]:
        """Pairs of points by the name of their set, the one of the experts first. Raises InputError."""
        if MAIN in self.inputs:
            return {MAIN: read_landmarks(self.inputs[MAIN])}
        roles = (role.removeprefix("fixed_") for role in self.inputs if role.startswith("fixed_"))
        return {name: self._pairs(name) for name in roles if name != "mask"}

    def _pairs(self, name: str) -> Landmarks:
        fixed_mm, moving_mm = (self._points(side, name) for side in SIDES)
        if len(fixed_mm) != len(moving_mm):
            files = [self.inputs[f"{side}_{name}"] for side in SIDES]
            raise unsuitable(files[1], f"{len(fixed_mm)} points as in {files[0]}", f"{len(moving_mm)}")
        return Landmarks(fixed_mm, moving_mm)

    def _points(self, side: str, name: str) -> Tensor:
        """Points (N, 3) in LPS mm of one image."""
        return read_points(self.inputs[f"{side}_{name}"])


@dataclass(frozen=True)
class DataSet:
    """Cases that belong together."""

    name: str
    cases: tuple[Case, ...]


def can_name_folder(name: str) -> bool:
    """Whether a case of this name can have a folder beside the others, on any system and in any program's hands."""
    plain = name.isprintable() and NAME.fullmatch(name) and not DEVICES.fullmatch(name)
    return bool(plain) and len(name.encode()) <= LONGEST_NAME


def problems_of(dataset: DataSet) -> list[str]:
    """What is wrong with the files, a line each: missing ones, headers, points, points outside their image.

    Voxels are left to ``Case.read``: to unpack every image would take as long as to register a few.
    """
    return [f"{case.name}: {problem}" for case in dataset.cases for problem in _problems(case)]


def read_table(path: PathInput, columns: int) -> Tensor:
    """Numbers (N, columns), float64, of a text file without header, parted by commas or blanks. Raises InputError."""
    rows = [_numbers(path, number, line, columns) for number, line in enumerate(_lines(path), 1) if line.strip(" ,\t")]
    if not rows:
        raise unsuitable(path, "points", "an empty file")
    return torch.tensor(rows, dtype=torch.float64)


def voxels_to_mm(voxels: Tensor, grid: Grid) -> Tensor:
    """Fractional voxel indices (N, 3), from 0, in (x, y, z) to points (N, 3) in mm."""
    return grid.to_mm(voxels.flip(-1))


def refuse(problems: list[str]) -> None:
    """Raise InputError with all problems in one line where there are any."""
    if problems:
        raise InputError("; ".join(problems))


def _lines(path: PathInput) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise unsuitable(path, "a text file", "bytes that are not text") from None
    except OSError as error:
        raise unsuitable(path, "a file of points", str(error.strerror).lower()) from None


def _numbers(path: PathInput, number: int, line: str, columns: int) -> list[float]:
    try:
        values = [float(cell) for cell in line.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != columns or not all(math.isfinite(value) for value in values):
        raise unsuitable(path, f"{columns} numbers in line {number}", f"'{line[:80]}'")
    return values


def _problems(case: Case) -> list[str]:
    missing = [path for path in case.inputs.values() if not path.exists()]
    if missing:
        return [str(unsuitable(path, "a file", "nothing")) for path in missing]
    try:
        grids, sets = case.grids(), case.landmarks()
    except InputError as error:
        return [str(error)]
    found = []
    for name, pairs in sets.items():
        for side, grid, points_mm in zip(SIDES, grids, (pairs.fixed_mm, pairs.moving_mm), strict=True):
            outside = int((~grid.contains(points_mm)).sum())
            if outside:
                found.append(f"{outside} of {len(points_mm)} {side} points ({name}) lie outside the {side} image")
    return found
