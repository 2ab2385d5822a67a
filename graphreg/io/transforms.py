"""Transforms: dense fields <-> the displacement field transforms of ITK.

Vector components are (x, y, z) LPS mm whatever the direction of the grid; ITK moves nothing outside the grid.
"""

from pathlib import Path

import SimpleITK as sitk
import torch

from graphreg.io.errors import InputError, PathInput, unsuitable
from graphreg.io.files import atomic_path, require_suffix
from graphreg.io.hdf5 import clear_times
from graphreg.io.images import grid_of, quiet, to_sitk
from graphreg.records import DenseField

NEED = "a displacement field transform (.h5) as graphreg writes it"


def write_transform(field: DenseField, path: PathInput) -> None:
    """A field as an ITK transform: ``TransformPoint`` of SimpleITK then agrees with it at every point of its grid."""
    require_suffix(path, (".h5", ".hdf5"))
    vectors = field.displacement_mm.detach().cpu().double().movedim(0, -1)
    transform = sitk.DisplacementFieldTransform(to_sitk(field.grid, vectors))  # takes the image over
    with atomic_path(path) as temporary:
        try:
            sitk.WriteTransform(transform, str(temporary))
        except RuntimeError:
            raise OSError(f"{path}: cannot be written") from None
        clear_times(temporary)


def read_transform(path: PathInput) -> DenseField:
    """A field, float32, from the displacement field transform in a file. Raises InputError."""
    if not Path(path).is_file():
        raise unsuitable(path, NEED, "a folder" if Path(path).exists() else "nothing")
    try:
        with quiet():
            transform = sitk.ReadTransform(str(path))
    except RuntimeError:
        raise unsuitable(path, NEED, "a file that SimpleITK cannot read") from None
    if transform.GetTransformEnum() != sitk.sitkDisplacementField or transform.GetDimension() != 3:
        raise unsuitable(path, NEED, f"a {transform.GetDimension()}-D {transform.GetName()}")
    image = sitk.DisplacementFieldTransform(transform).GetDisplacementField()
    vectors = torch.from_numpy(sitk.GetArrayFromImage(image)).float()
    if not bool(torch.isfinite(vectors).all()):
        raise unsuitable(path, NEED, "NaN or infinite displacements")
    try:
        return DenseField(grid_of(image), vectors.movedim(-1, 0).contiguous())
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
