"""Transforms: dense fields <-> the displacement field transforms of ITK.

Vector components are (x, y, z) LPS mm whatever the direction of the grid; ITK moves nothing outside the grid.
"""

import math
import re
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from graphreg.core.errors import InputError, PathInput, unsuitable
from graphreg.core.foreign import to_sitk
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField
from graphreg.io.files import atomic_path, exists, require_suffix
from graphreg.io.guards.hdf5 import DamagedError, Hdf5File, Numbers, clear_times
from graphreg.io.guards.headers import require_plausible
from graphreg.io.itk import itk_writes

NEED = "a displacement field transform (.h5) as graphreg writes it"
GROUP = "TransformGroup"


def to_transform(field: DenseField) -> sitk.Transform:
    """A field as a displacement field transform of SimpleITK, fixed -> moving in LPS mm.

    Its ``TransformPoint`` agrees with the field at every point of the grid, and moves nothing outside it.
    """
    vectors = field.displacement_mm.detach().cpu().double().movedim(0, -1)
    return sitk.DisplacementFieldTransform(to_sitk(field.grid, vectors))  # takes the image over


def write_transform(field: DenseField, path: PathInput) -> None:
    """A field as the transform of ``to_transform`` in a file."""
    require_suffix(path, (".h5", ".hdf5"))
    transform = to_transform(field)
    with atomic_path(path) as temporary:
        with itk_writes(path):
            sitk.WriteTransform(transform, str(temporary))
        clear_times(temporary)


def read_transform(path: PathInput) -> DenseField:
    """A field, float32, from the displacement field transform in a file. Raises InputError."""
    if not exists(path) or not Path(path).is_file():
        raise unsuitable(path, NEED, "a folder" if exists(path) else "nothing")
    try:
        where, vectors = _parameters(path, Hdf5File(path))
    except (DamagedError, struct.error, IndexError) as error:
        raise unsuitable(path, NEED, f"a file that cannot be read: {error}") from None
    except OSError as error:
        raise unsuitable(path, NEED, str(error.strerror)) from None
    if not np.isfinite(vectors).all():
        raise unsuitable(path, NEED, "NaN or infinite displacements")
    grid = _grid(path, where)
    if len(vectors) != 3 * grid.voxels:
        raise unsuitable(path, NEED, f"{len(vectors)} numbers for {grid.voxels} vectors")
    return DenseField(grid, torch.from_numpy(vectors).float().reshape(*grid.shape, 3).movedim(-1, 0).contiguous())


def _grid(path: PathInput, where: list[float]) -> Grid:
    width, height, depth = (int(n) if math.isfinite(n) else 0 for n in where[:3])
    origin_mm, spacing_mm, *direction = ((where[at], where[at + 1], where[at + 2]) for at in range(3, 18, 3))
    try:
        grid = Grid((depth, height, width), spacing_mm, origin_mm, (direction[0], direction[1], direction[2]))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    require_plausible(path, grid)
    return grid


def _parameters(path: PathInput, file: Hdf5File) -> tuple[list[float], Numbers]:
    """Size, origin, spacing and direction of the field, and its vectors, voxel by voxel."""
    if file.names(GROUP) != ["0"]:
        raise unsuitable(path, NEED, f"{len(file.names(GROUP))} transforms")
    kind = re.fullmatch(r"(\w+)_(?:double|float)_(\d)_(\d)", file.text(GROUP, "0", "TransformType"))
    if kind is None or kind.groups() != ("DisplacementFieldTransform", "3", "3"):
        raise unsuitable(path, NEED, f"a {kind[2]}-D {kind[1]}" if kind else "another transform")
    where = file.numbers(GROUP, "0", "TransformFixedParameters").tolist()
    if len(where) != 18:
        raise DamagedError("no place of the field")
    return where, file.numbers(GROUP, "0", "TransformParameters")
