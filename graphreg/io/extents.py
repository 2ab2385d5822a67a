"""How large an image is, from its header alone."""

import math
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from graphreg.core.errors import InputError, PathInput
from graphreg.io.fingerprints import image_files
from graphreg.io.formats import open_image
from graphreg.io.itk import itk_alone

PACKED = 1032  # times as many bytes as there are is the most that gzip makes of them


@dataclass(frozen=True)
class Extent:
    """Of a 3-D image."""

    voxels: int
    size_mm: tuple[float, float, float]  # along its axes; infinite where it is not known


def read_extent(path: PathInput) -> Extent | None:
    """Of a file, or of a folder of DICOM slices; None where none can be told: reading it says why."""
    source = Path(path)
    try:
        found = _of_slices(source) if source.is_dir() else _of_file(source)
    except (InputError, OSError, RuntimeError):
        return None
    held = sum(file.stat().st_size for file in image_files(source))
    return found if found and found.voxels <= PACKED * held else None  # else its header is wrong


def _of_file(path: Path) -> Extent | None:
    reader = open_image(path, voxels=False)
    if reader.GetDimension() < 3:
        return None
    size, spacing = reader.GetSize(), reader.GetSpacing()
    x, y, z = (n * step for n, step in zip(size[:3], spacing[:3], strict=True))
    return Extent(math.prod(size), (x, y, z))


def _of_slices(folder: Path) -> Extent | None:
    slices = image_files(folder)
    if not slices:
        return None
    with itk_alone():
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(slices[0]))
        reader.ReadImageInformation()
    (width, height), spacing = reader.GetSize()[:2], reader.GetSpacing()
    return Extent(width * height * len(slices), (width * spacing[0], height * spacing[1], math.inf))
