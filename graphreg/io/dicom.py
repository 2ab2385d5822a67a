"""A folder with one DICOM series -> an image of SimpleITK in HU, through GDCM. No tag of the patient is repeated."""

import SimpleITK as sitk
import torch

from graphreg.io.errors import PathInput, unsuitable

NEED = "a folder with one DICOM series"


def read_series(path: PathInput) -> sitk.Image:
    """The 3-D image, float32, that the slices in a folder form. Raises InputError."""
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(path))
    if len(series) != 1:
        raise unsuitable(path, NEED, f"{len(series)} series" if series else "no series")
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path), series[0])
    try:
        origins = [_origin(path, name) for name in names]
        image = sitk.ReadImage(names, sitk.sitkFloat32)
    except RuntimeError:
        raise unsuitable(path, NEED, "slices that do not form one volume") from None
    _require_even_stack(path, image, origins)
    return image


def _origin(path: PathInput, name: str) -> tuple[float, ...]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(name)
    reader.ReadImageInformation()
    if reader.GetNumberOfComponents() > 1:
        raise unsuitable(path, "one value per voxel", f"{reader.GetNumberOfComponents()} (colours)")
    return reader.GetOrigin()


def _require_even_stack(path: PathInput, image: sitk.Image, origins: list[tuple[float, ...]]) -> None:
    """ITK stacks slices without looking: missing or doubled ones and a tilted gantry would bend the space."""
    for index, origin in enumerate(origins):
        expected = image.TransformIndexToPhysicalPoint((0, 0, index))
        gap = torch.dist(torch.tensor(origin), torch.tensor(expected)).item()
        if gap > 0.1 * image.GetSpacing()[2]:
            found = f"slice {index + 1} of {len(origins)} lying {gap:.2f} mm beside its place"
            raise unsuitable(path, "evenly stacked slices, none missing, no tilted gantry", found)
