"""Learn2Reg, tasks LungCT and NLST: NIfTI images, masks and csv files of voxels, to records.

By the file ``*_dataset.json``, or by the names alone: 0000 is fixed, 0001 is moving. Which of both is breathed in the
files do not tell. ``landmarks`` are from experts, ``keypoints`` from an algorithm.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from graphreg.core.errors import PathInput, unsuitable
from graphreg.io.datasets.case import MAIN, SIDES, Case, DataSet, read_table, refuse, voxels_to_mm
from graphreg.io.images import read_grid
from graphreg.io.json_text import parse_json

SUFFIX = ".nii.gz"
SETS = (MAIN, "keypoints")
Pair = tuple[Path, Path]


@dataclass(frozen=True)
class VoxelCase(Case):
    """A pair of NIfTI files with a csv file of voxels, from 0 in (x, y, z), for each image."""

    def _points(self, side: str, name: str) -> Tensor:
        return voxels_to_mm(read_table(self.inputs[f"{side}_{name}"], 3), read_grid(self.inputs[side]))


def read_learn2reg(path: PathInput) -> DataSet | None:
    """The pairs of a folder, or of its ``*_dataset.json``; None where there are none. Raises InputError."""
    path = Path(path)
    lists = [path] if path.is_file() else sorted(path.glob("*_dataset.json"))
    if len(lists) > 1:
        raise unsuitable(path, "one *_dataset.json", f"{len(lists)}")
    name, pairs = _listed(lists[0]) if lists else _named(path)
    problems = [str(unsuitable(file, "an image", "nothing")) for pair in pairs for file in pair if not file.exists()]
    cases = [_case(pair, problems) for pair in dict.fromkeys(pairs)]
    refuse(problems)
    return DataSet(f"Learn2Reg {name}", tuple(cases)) if cases else None


def _listed(path: Path) -> tuple[str, list[Pair]]:
    """Name and pairs of a json file: whichever of its lists hold objects with fixed and moving."""
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"))
        lists = {key: value for key, value in content.items() if isinstance(value, list)}
        pairs = {
            key: [(path.parent / e["fixed"], path.parent / e["moving"]) for e in entries if _is_pair(e)]
            for key, entries in lists.items()
        }
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        raise unsuitable(path, "lists of pairs as Learn2Reg writes them", "other content") from None
    # the images of a test are kept back in part of the releases
    kept = [p for key, many in pairs.items() for p in many if "test" not in key or any(file.exists() for file in p)]
    return str(content.get("name", path.name.removesuffix("_dataset.json"))), kept


def _is_pair(entry: object) -> bool:
    return isinstance(entry, dict) and "fixed" in entry


def _named(folder: Path) -> tuple[str, list[Pair]]:
    fixed = sorted(file for part in ("imagesTr", "imagesTs") for file in (folder / part).glob(f"*_0000{SUFFIX}"))
    name = fixed[0].name.split("_")[0] if fixed else ""
    return name, [(file, file.with_name(file.name.replace(f"_0000{SUFFIX}", f"_0001{SUFFIX}"))) for file in fixed]


def _case(pair: Pair, problems: list[str]) -> Case:
    inputs = dict(zip(SIDES, pair, strict=True))
    for role, folder, suffix in [("mask", "masks", SUFFIX), *((name, name, ".csv") for name in SETS)]:
        files = [_beside(image, folder, suffix) for image in pair]
        there = [file.exists() for file in files]
        if all(there):
            inputs |= {f"{side}_{role}": file for side, file in zip(SIDES, files, strict=True)}
        elif any(there):
            problems.append(str(unsuitable(files[there.index(False)], "a file as for the other image", "nothing")))
    return VoxelCase(_name(*(image.name.removesuffix(SUFFIX) for image in pair)), inputs)


def _beside(image: Path, folder: str, suffix: str) -> Path:
    """The file of an image in another folder: imagesTr/a.nii.gz to landmarksTr/a.csv."""
    part = image.parent.name.removeprefix("images")
    return image.parent.parent / f"{folder}{part}" / f"{image.name.removesuffix(SUFFIX)}{suffix}"


def _name(fixed: str, moving: str) -> str:
    """LungCT_0001 of LungCT_0001_0000 and LungCT_0001_0001; all of both where they are not such a pair."""
    match = re.fullmatch(r"(.+)_0000 \1_0001", f"{fixed} {moving}")
    return match[1] if match else f"{fixed}-{moving}"
