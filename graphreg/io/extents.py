"""How large an image is, from its header alone."""

import math
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from graphreg.io.errors import PathInput
from graphreg.io.images import quiet


@dataclass(frozen=True)
class Extent:
    """Of a 3-D image."""

    voxels: int
    size_mm: tuple[float, float, float]  # along its axes; infinite where it is not known


def read_extent(path: PathInput) -> Extent | None:
    """Of a file, or of a folder of DICOM slices; None where none can be told: reading it says why."""
    source = Path(path)
    slices = sorted(p for p in source.iterdir() if p.name[0] != ".") if source.is_dir() else [source]
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(slices[0]) if slices else "")
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError:
        return None
    if source.is_dir():
        (width, height), spacing = reader.GetSize()[:2], reader.GetSpacing()
        return Extent(width * height * len(slices), (width * spacing[0], height * spacing[1], math.inf))
    size, (x, y, z) = reader.GetSize(), reader.GetSpacing()[:3]
    return Extent(math.prod(size), (size[0] * x, size[1] * y, size[2] * z))
