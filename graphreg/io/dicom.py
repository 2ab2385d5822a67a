"""A folder with one DICOM series -> an image of SimpleITK, rescaled by GDCM. No tag of the patient is repeated."""

import math
import os
import struct

import SimpleITK as sitk
import torch

from graphreg.core.errors import PathInput, unsuitable

NEED = "a folder with one DICOM series"
HEAD = 1 << 16  # bytes in which the tags of a slice stand
SPACING = "0028|0030"
PIXELS = struct.pack("<2H", 0x7FE0, 0x10)
GEOMETRY = {"0020|0032": ("a position", 3), "0020|0037": ("an orientation", 6), SPACING: ("a pixel spacing", 2)}
RESCALE = {
    "0028|1052": "a rescale intercept",
    "0028|1053": "a rescale slope",
}  # GDCM takes 0 and 1 for what is no number
PACKED = 2000  # times as large as its file is no slice that was compressed


def read_series(path: PathInput) -> tuple[sitk.Image, int]:
    """The 3-D image, float32, that the slices in a folder form, and the pixel type of the first, rescaled.

    Within itk_alone. Raises InputError.
    """
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(path))
    if len(series) != 1:
        raise unsuitable(path, NEED, f"{len(series)} series" if series else "no series")
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path), series[0])
    try:
        places = [_place(path, name) for name in names]
        kind = _told_by(names[0]).GetPixelID()
        _require_one_plane(path, places)
        image = sitk.ReadImage(names, sitk.sitkFloat32)
    except RuntimeError:
        raise unsuitable(path, NEED, "slices that do not form one volume") from None
    _require_even_stack(path, image, [place[:3] for place in places])
    return image, kind


def _place(path: PathInput, name: str) -> list[float]:
    """Position (3), orientation (6) and pixel spacing (2) of a slice, all of them told by its tags."""
    with open(name, "rb") as stream:
        head = stream.read(HEAD)
    _require_spacing(path, head)
    reader = _told_by(name)
    if reader.GetNumberOfComponents() > 1:
        raise unsuitable(path, "one value per voxel", f"{reader.GetNumberOfComponents()} (colours)")
    width, height = reader.GetSize()[:2]
    if width * height > PACKED * os.path.getsize(name):
        raise unsuitable(path, f"the voxels of slices of {width} x {height}", "a smaller file")
    _require_all_voxels(path, head, width * height, os.path.getsize(name))
    place: list[float] = []
    for tag, (what, count) in GEOMETRY.items():
        place += _numbers(path, what, _tag_text(reader, tag), count)
    for tag, what in RESCALE.items():
        if reader.HasMetaDataKey(tag):
            (number,) = _numbers(path, what, _tag_text(reader, tag), 1)
            if number == 0 and what.endswith("slope"):
                raise unsuitable(path, f"{what} that is not 0", "0")
    return [*place, width, height]


def _told_by(name: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(name)
    reader.ReadImageInformation()
    return reader


def _numbers(path: PathInput, what: str, text: str, count: int) -> list[float]:
    """Numbers of a tag, which is not repeated where it holds other text."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise unsuitable(path, f"{what} of {count} number{'s' * (count > 1)} in every slice", "another")
    return values


def _tag_text(reader: sitk.ImageFileReader, tag: str) -> str:
    return _words(reader.GetMetaData(tag)) if reader.HasMetaDataKey(tag) else ""


def _words(text: str) -> str:
    return text.replace("\\", " ").strip("\0 ")


def _require_spacing(path: PathInput, head: bytes) -> None:
    """GDCM takes 1 mm for a spacing that is none, and complains on stderr of one that is 0: here it is seen before."""
    at = head.find(struct.pack("<2H", 0x28, 0x30))
    if 0 <= at < len(head) - 8:
        explicit = head[at + 4 : at + 6] == b"DS"  # the kind of the value stands there, or its length alone
        (length,) = struct.unpack_from("<H", head, at + 6) if explicit else struct.unpack_from("<I", head, at + 4)
        if length <= 64:
            text = _words(head[at + 8 : at + 8 + length].decode("latin-1"))
            if min(_numbers(path, GEOMETRY[SPACING][0], text, 2)) <= 0:
                raise unsuitable(path, f"{GEOMETRY[SPACING][0]} above 0", text)


def _require_all_voxels(path: PathInput, head: bytes, voxels: int, size: int) -> None:
    """SimpleITK before 2.5.4 takes a slice that ends early for a whole one; compressed ones GDCM refuses by itself."""
    at = head.find(PIXELS)
    start = at + (12 if head[at + 4 : at + 6] in (b"OW", b"OB") else 8)
    if at >= 0 and start <= len(head):
        (length,) = struct.unpack_from("<I", head, start - 4)
        if length in (voxels, 2 * voxels, 4 * voxels) and start + length > size:
            raise unsuitable(path, f"slices of {length} bytes of voxels", f"one of {size - start}")


def _require_one_plane(path: PathInput, places: list[list[float]]) -> None:
    """ITK takes orientation and spacing of the first slice for those of all, and upright axes for ones of no length."""
    axes = torch.tensor(places[0][3:9]).reshape(2, 3)
    if not torch.allclose(axes @ axes.T, torch.eye(2), atol=1e-2):
        raise unsuitable(path, "slices whose axes are at right angles", str(axes.tolist()))
    for number, place in enumerate(places, 1):
        if any(abs(one - other) > 1e-3 for one, other in zip(place[3:], places[0][3:], strict=True)):
            found = f"others in slice {number} of {len(places)}"
            raise unsuitable(path, "slices of one orientation, spacing and size", found)


def _require_even_stack(path: PathInput, image: sitk.Image, origins: list[list[float]]) -> None:
    """ITK stacks slices without looking: missing or doubled ones and a tilted gantry would bend the space."""
    for index, origin in enumerate(origins):
        expected = image.TransformIndexToPhysicalPoint((0, 0, index))
        gap = torch.dist(torch.tensor(origin), torch.tensor(expected)).item()
        if gap > 0.1 * image.GetSpacing()[2]:
            found = f"slice {index + 1} of {len(origins)} lying {gap:.2f} mm beside its place"
            raise unsuitable(path, "evenly stacked slices, none missing, no tilted gantry", found)
