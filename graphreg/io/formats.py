"""The formats of image files: which there are, and a reader of SimpleITK for a file that was found sound."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import SimpleITK as sitk

from graphreg.core.errors import PathInput, unsuitable
from graphreg.io.guards import metaimage, nifti, nrrd
from graphreg.io.guards.counting import Claim, require_bytes
from graphreg.io.itk import itk_alone

NEED = "a NIfTI, MetaImage or NRRD image"


class Format(NamedTuple):
    """What SimpleITK calls it, the endings of its names, and the check of its headers."""

    reader: str
    suffixes: tuple[str, ...]
    require_sound: Callable[[PathInput], Claim]


FORMATS = (
    Format("NiftiImageIO", nifti.SUFFIXES, nifti.require_sound),
    Format("MetaImageIO", metaimage.SUFFIXES, metaimage.require_sound),
    Format("NrrdImageIO", nrrd.SUFFIXES, nrrd.require_sound),
)


def format_of(path: PathInput) -> Format | None:
    """That of a file, by its name."""
    name = Path(path).name.lower()
    return next((one for one in FORMATS if name.endswith(one.suffixes)), None)


def open_image(path: PathInput, voxels: bool = True) -> sitk.ImageFileReader:
    """A reader that knows the header of an image, whose voxels, too, were looked at where wanted. Raises InputError."""
    found = format_of(path)
    if found is None:
        endings = ", ".join(suffix for one in FORMATS for suffix in one.suffixes)
        raise unsuitable(path, f"{NEED}, with a name ending in {endings},", f"'{Path(path).name}'")
    try:
        claim = found.require_sound(path)
        if voxels:
            require_bytes(path, claim)
        with itk_alone():
            reader = sitk.ImageFileReader()
            reader.SetImageIO(found.reader)
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
    except OSError as error:
        raise unsuitable(path, NEED, str(error.strerror)) from None
    except RuntimeError as error:
        raise unsuitable(path, NEED, reason(error)) from None
    return reader


def reason(error: RuntimeError) -> str:
    """What SimpleITK means, in short."""
    if "orthonormal" in str(error):
        return "axes that are not at right angles"
    return "a file that SimpleITK cannot read"
