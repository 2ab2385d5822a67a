"""DICOM series of a person whose name must never be told."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SLICES = np.random.default_rng(3).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
PERSON = "Name^Secret"
NOT_TO_BE_TOLD = ("Secret", "Hospital", "19120623", "1.2.826")


def write_slice(path: Path, image: sitk.Image, position_mm: str, uid: str, number: int, bits: int = 16) -> None:
    """One axial slice of a series, stored as HU + 1024."""
    tags = {
        "0008|0060": "CT",
        "0010|0010": PERSON,
        "0010|0020": "Id-Secret",
        "0010|0030": "19120623",
        "0008|0080": "Hospital Secret",
        "0020|000d": "1.2.826",
        "0020|000e": uid,
        "0008|0018": f"{uid}.{number}",
        "0020|0032": position_mm,
        "0020|0037": "1\\0\\0\\0\\1\\0",
        "0028|0100": "16",
        "0028|0101": f"{bits}",
        "0028|0102": f"{bits - 1}",
        "0028|0103": "0",  # unsigned
        "0028|1052": "-1024",
        "0028|1053": "1",
    }
    for tag, value in tags.items():
        image.SetMetaData(tag, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(path))
    writer.Execute(image)


def dicom(
    folder: Path, array: np.ndarray, uid: str = "1.2.826.1", skip: Collection[int] = (), shear_mm: float = 0.0
) -> None:
    """Axial slices of 0.7 x 0.7 x 2.5 mm from (-10, -20, -30), files named in falling order."""
    folder.mkdir(exist_ok=True)
    for k in set(range(len(array))) - set(skip):
        image = sitk.GetImageFromArray(array[k : k + 1].astype(float))
        image.SetSpacing((0.7, 0.7, 2.5))
        position_mm = f"-10\\{-20 + shear_mm * k}\\{-30 + 2.5 * k}"
        write_slice(folder / f"{uid}-{99 - k}.dcm", image, position_mm, uid, k, bits=12)


def dicom_of(folder: Path, image: sitk.Image, uid: str) -> None:
    """The slices of an image, and a file with the person's name beside them."""
    folder.mkdir()
    for k in range(image.GetDepth()):
        part = sitk.Cast(image[:, :, k : k + 1], sitk.sitkFloat64)
        place = "\\".join(f"{x:.6g}" for x in image.TransformIndexToPhysicalPoint((0, 0, k)))
        write_slice(folder / f"{k}.dcm", part, place, uid, k)
    (folder / "notes.txt").write_text(PERSON)
