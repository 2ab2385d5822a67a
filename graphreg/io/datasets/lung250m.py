"""Lung250M-4B: NIfTI images of 1 mm with csv files and a .pth file of voxels, to records.

Falta et al. (2023). case_XXX_1 is fixed and breathed in, case_XXX_2 moving and breathed out. ``landmarks`` are from
experts (``lms_validation.pth``), ``keypoints`` from corrField.
"""

import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.torch_version import TorchVersion

from graphreg.core.errors import PathInput, unsuitable
from graphreg.core.records import Landmarks
from graphreg.io.datasets.case import MAIN, SIDES, Case, DataSet, read_table, refuse, voxels_to_mm

IMAGE = r"(?:case_)?(\d{3})_[12]\.nii\.gz"
POINTS = "lms_validation.pth"
KEYPOINTS = "keypoints"


@dataclass(frozen=True)
class Lung250MCase(Case):
    """A pair of NIfTI files with pairs of voxels, from 0 in (x, y, z), six columns each."""

    def landmarks(self) -> dict[str, Landmarks]:
        """Pairs of points by the name of their set. Raises InputError."""
        voxels: dict[str, Tensor] = {}
        if MAIN in self.inputs:
            voxels[MAIN] = read_pth(self.inputs[MAIN])[_number(self.name)]
        if KEYPOINTS in self.inputs:
            voxels[KEYPOINTS] = read_table(self.inputs[KEYPOINTS], 6)
        fixed, moving = self.grids()
        return {
            name: Landmarks(voxels_to_mm(v[:, :3], fixed), voxels_to_mm(v[:, 3:], moving)) for name, v in voxels.items()
        }


def read_lung250m(folder: PathInput) -> DataSet | None:
    """The pairs in imagesTr and imagesTs of a folder; None where there are none. Raises InputError."""
    folder = Path(folder)
    points = next((file for file in (folder / POINTS, folder / "evaluation" / POINTS) if file.exists()), None)
    known = read_pth(points).keys() if points else set()
    images = [file for part in ("imagesTr", "imagesTs") for file in sorted((folder / part).glob("*.nii.gz"))]
    pairs = {_pair(file): None for file in images if re.fullmatch(IMAGE, file.name)}
    problems = [str(unsuitable(file, "an image", "nothing")) for pair in pairs for file in pair if not file.exists()]
    cases = [_case(folder, pair, problems) for pair in pairs]
    refuse(problems)
    cases = [_with_points(case, points) if points and _number(case.name) in known else case for case in cases]
    return DataSet("Lung250M-4B", tuple(cases)) if cases else None


def read_pth(path: PathInput) -> dict[int, Tensor]:
    """Voxels (N, 6), float64, by the number of the case, from a file of tensors. Raises InputError.

    Only tensors are taken: a file that would have code run is refused, and before torch 2.6 any file, as its reader
    could be made to run code all the same (CVE-2025-32434).
    """
    if TorchVersion(torch.__version__) < "2.6":
        raise unsuitable(path, "torch 2.6 or newer to read this file", torch.__version__)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = {_number(key): value.double() for key, value in content.items()}
    except (
        OSError,
        EOFError,
        RuntimeError,
        pickle.UnpicklingError,
        LookupError,
        AttributeError,
        ValueError,
        TypeError,
    ):
        raise unsuitable(path, "a table of tensors by the number of the case", "other content") from None
    for number, voxels in found.items():
        if voxels.ndim != 2 or voxels.shape[1] != 6 or not len(voxels) or not bool(voxels.isfinite().all()):
            raise unsuitable(path, f"voxels (N, 6) for case {number}", f"{tuple(voxels.shape)} or NaN")
    return found


def _number(name: object) -> int:
    return int(str(name).removeprefix("case_"))


def _pair(image: Path) -> tuple[Path, Path]:
    fixed, moving = (image.with_name(re.sub(r"_[12](?=\.nii)", f"_{n}", image.name)) for n in (1, 2))
    return fixed, moving


def _case(folder: Path, pair: tuple[Path, Path], problems: list[str]) -> Case:
    part, number = pair[0].parent.name.removeprefix("images"), pair[0].name.removeprefix("case_")[:3]
    inputs = dict(zip(SIDES, pair, strict=True))
    masks = [folder / f"masks{part}" / image.name for image in pair]
    there = [mask.exists() for mask in masks]
    if all(there):
        inputs |= {f"{side}_mask": mask for side, mask in zip(SIDES, masks, strict=True)}
    elif any(there):
        problems.append(str(unsuitable(masks[there.index(False)], "a mask as for the other image", "nothing")))
    keypoints = folder / f"corrfield{part}" / f"case_{number}.csv"
    if keypoints.exists():
        inputs[KEYPOINTS] = keypoints
    return Lung250MCase(f"case_{number}", inputs, fixed_is_inhale=True)


def _with_points(case: Case, points: Path) -> Case:
    return Lung250MCase(case.name, case.inputs | {MAIN: points}, case.fixed_is_inhale)
