"""Dense fields in the formats of other programs, each by its name.

itk and ants hold LPS mm as graphreg does; slicer is an NRRD that 3D Slicer opens as a transform. learn2reg holds an
array [X, Y, Z, 3] of voxels: fixed voxel i meets moving voxel i + d, each counted on the grid of its own image.
"""

import SimpleITK as sitk
import torch
from torch import Tensor

from graphreg.core.errors import PathInput, unsuitable
from graphreg.core.foreign import to_sitk
from graphreg.core.grid import EXACT, Grid, sample
from graphreg.core.records import DenseField
from graphreg.io.files import atomic_path, require_suffix
from graphreg.io.images import WRITABLE
from graphreg.io.itk import itk_writes

SUFFIXES = {"itk": WRITABLE, "ants": (".nii.gz",), "slicer": (".nrrd",), "learn2reg": (".nii.gz",)}
LAYOUTS = tuple(SUFFIXES)
DISPLACEMENTS = 1006  # intent of NIfTI that 3D Slicer looks for, in NRRD too
MARKS = {"intent_code": str(DISPLACEMENTS), "displacement field type": "resampling"}  # of fixed -> moving
TO_RAS = (-1.0, -1.0, 1.0, 1.0)  # axes that ITK writes as the identity of NIfTI


def require_layout(path: PathInput, layout: str) -> None:
    """Raise InputError where a layout is unknown, or a file of it would have another name."""
    if layout not in SUFFIXES:
        raise unsuitable(path, f"a layout out of {', '.join(LAYOUTS)}", f"'{layout}'")
    require_suffix(path, SUFFIXES[layout])


def write_field(
    field: DenseField, path: PathInput, layout: str, fixed: Grid | None = None, moving: Grid | None = None
) -> None:
    """A field as float32, on the grid of the fixed image or else on its own, whole or not at all. Raises InputError.

    Beyond the field its border value goes on. The layout learn2reg needs both grids.
    """
    require_layout(path, layout)
    if layout == "learn2reg":
        image = _voxel_image(field, *_both(path, fixed, moving))
    else:
        image = to_sitk(fixed or field.grid, _vectors(field, fixed or field.grid))
    for key, value in MARKS.items() if layout == "slicer" else ():
        image.SetMetaData(key, value)
    with atomic_path(path) as temporary, itk_writes(path):
        sitk.WriteImage(image, str(temporary), useCompression=True)


def _both(path: PathInput, fixed: Grid | None, moving: Grid | None) -> tuple[Grid, Grid]:
    if fixed is None or moving is None:
        found = "that of the fixed one alone" if fixed else "that of the moving one alone" if moving else "neither"
        raise unsuitable(path, "the grids of the fixed and of the moving image", found)
    return fixed, moving


def _vectors(field: DenseField, grid: Grid) -> Tensor:
    """Displacements (D, H, W, 3) in mm, float32 on the CPU, at the voxels of a grid."""
    data = field.displacement_mm.detach().cpu()
    if grid == field.grid:
        return data.movedim(0, -1).float()
    out = torch.empty(*grid.shape, 3)
    for slab in grid.slabs():
        out[slab] = sample(data, field.grid, grid.points_mm(EXACT, slab)).movedim(0, -1)
    return out


def _voxel_image(field: DenseField, fixed: Grid, moving: Grid) -> sitk.Image:
    """Displacements in voxels as a scalar image of four axes, (X, Y, Z, 3) in the file, of identity geometry."""
    data = field.displacement_mm.detach().cpu()
    voxels = torch.empty(3, *fixed.shape)  # (x, y, z)
    for slab in fixed.slabs():
        points_mm = fixed.points_mm(EXACT, slab)
        moved_mm = points_mm + sample(data, field.grid, points_mm).movedim(0, -1)
        steps = moving.to_index(moved_mm) - fixed.to_index(points_mm)  # (z, y, x)
        voxels[:, slab] = steps.flip(-1).movedim(-1, 0).float()
    image = sitk.GetImageFromArray(voxels.numpy(), isVector=False)
    image.SetDirection(torch.tensor(TO_RAS).diag().flatten().tolist())
    return image
