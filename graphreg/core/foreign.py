"""Images of other libraries <-> a grid, its voxels, and the name of their type.

numpy and SimpleITK hold LPS millimetres as we do. nibabel, MONAI and TorchIO hold an array (X, Y, Z) and an affine from
its indices to RAS millimetres, x and y of which have the other sign.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid

STORED = (*(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")), "float32", "float64")
PLAIN = {"bool": "uint8", "float16": "float32"}  # where no format of files has the type
HALVES = (torch.float16, torch.bfloat16)  # the second of which numpy does not know
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # <-> LPS
SKEW = 1e-3  # cosine between two axes that are still at right angles

Numbers = NDArray[np.number]


class Parts(NamedTuple):
    """What a volume is made of."""

    grid: Grid
    data: Tensor  # (D, H, W) float32, finite
    stored: str  # numpy name of the type that the voxels had


def of_array(array: Any, spacing: Any, origin: Any, direction: Any) -> Parts:
    """Of an array or tensor (D, H, W), with spacing and origin in mm (x, y, z) and axes as columns (3, 3), LPS.

    Raises InputError.
    """
    data, stored = numbers(array)
    _require(data.ndim == 3, "an array (D, H, W)", f"one of {data.ndim} axes")
    try:
        return Parts(_grid(tuple(data.shape), spacing, origin, direction), data, stored)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None


def of_affine(array: Any, affine: Any, lps: bool = False) -> Parts:
    """Of an array or tensor (X, Y, Z) with an affine (4, 4) of its indices to RAS mm, or LPS mm. Raises InputError."""
    _require(array.ndim == 3, "an image of 3 axes", f"one of shape {tuple(array.shape)}")
    _require(affine is not None, "an affine (4, 4)", "none")
    matrix = affine.detach().cpu().numpy() if isinstance(affine, Tensor) else np.asarray(affine)
    _require(matrix.shape == (4, 4), "an affine (4, 4)", f"one of shape {matrix.shape}")
    matrix = matrix.astype(np.float64) if lps else RAS @ matrix
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    usable = bool(np.isfinite(matrix).all() and spacing.all())
    _require(usable, "an affine of finite numbers with three axes", str(matrix.tolist()))
    axes = matrix[:3, :3] / spacing
    skew = float(np.abs(axes.T @ axes - np.eye(3)).max())
    _require(skew <= SKEW, "an affine without shear, its axes at right angles", f"a cosine of {skew:.3g} between two")
    return of_array(array.T if isinstance(array, np.ndarray) else array.permute(2, 1, 0), spacing, matrix[:3, 3], axes)


def of_sitk(image: Any) -> Parts:
    """Of an image of SimpleITK. Raises InputError."""
    import SimpleITK as sitk

    _require(image.GetDimension() == 3, "a 3-D image", f"a {image.GetDimension()}-D one")
    _require_scalar(image.GetNumberOfComponentsPerPixel())
    kind = image.GetPixelIDTypeAsString()
    _require(not kind.startswith("label"), "voxels that are numbers", kind)  # its runs taken for an array end Python
    return Parts(grid_of(image), *numbers(sitk.GetArrayViewFromImage(image)))


def of_nibabel(image: Any) -> Parts:
    """Of an image of nibabel, whose affine leads to RAS mm; further axes of one are none. Raises InputError."""
    array = np.asanyarray(image.dataobj)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return of_affine(array, image.affine)


def of_channels(tensor: Tensor, affine: Any, lps: bool = False) -> Parts:
    """Of a tensor (1, X, Y, Z) or (X, Y, Z) as MONAI and TorchIO have it. Raises InputError."""
    plain = tensor.detach().as_subclass(Tensor)
    if plain.ndim == 4:
        _require_scalar(plain.shape[0])
        plain = plain[0]
    return of_affine(plain, affine, lps)


def numbers(array: Any) -> tuple[Tensor, str]:
    """Values as float32 in memory of their own, and the numpy name of the type to store them in. Raises InputError."""
    if isinstance(array, Tensor):
        plain = array.detach().as_subclass(Tensor).cpu()
        array = (plain.float() if plain.dtype in HALVES else plain).numpy()
    array = np.asarray(array)
    stored = PLAIN.get(array.dtype.name, array.dtype.name)
    _require(stored in STORED, "voxels that are numbers", array.dtype.name)
    _require(array.size > 0, "at least one voxel", f"an array of shape {array.shape}")
    data = torch.from_numpy(np.array(array, np.float32, order="C"))
    _require(bool(torch.isfinite(torch.stack(data.aminmax())).all()), "finite values", "NaN or infinite ones")
    return data, stored


def grid_of(image: Any) -> Grid:
    """Where the voxels of an image or reader of SimpleITK sit, by its first three axes. Raises InputError."""
    width, height, depth = image.GetSize()[:3]
    axes = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)[:3, :3]
    try:
        return _grid((depth, height, width), image.GetSpacing()[:3], image.GetOrigin()[:3], axes)
    except ValueError as error:
        raise InputError(str(error)) from None


def to_sitk(grid: Grid, data: Tensor | Numbers) -> Any:
    """An image of SimpleITK from an array (D, H, W), or of vectors from (D, H, W, C)."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(data), isVector=data.ndim == 4)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection([cosine for row in grid.direction for cosine in row])
    return image


def storable(data: Tensor, stored: str | None) -> Numbers:
    """Data (D, H, W) in the named type, or in the one nearest to its own that every format of files has."""
    data = data.detach().cpu()
    if stored is None:
        plain = {torch.bool: torch.uint8}.get(data.dtype, torch.float32 if data.is_floating_point() else data.dtype)
        return data.to(plain).numpy()
    kind = np.dtype(stored)
    if kind.kind == "f":
        return data.to(torch.float64 if kind.itemsize == 8 else torch.float32).numpy()
    return _rounded(data, kind)


def _rounded(data: Tensor, kind: np.dtype[np.integer]) -> Numbers:
    """Numbers rounded and clamped to a type of integers."""
    low, high = np.iinfo(kind).min, float(np.iinfo(kind).max)
    exact = data if data.dtype == torch.float32 and kind.itemsize <= 2 else data.double()  # which holds all of 32 bits
    if high > np.iinfo(kind).max:  # of 64 bits, the next number that there is lies beyond the range
        high = float(np.nextafter(high, 0))
    return exact.round().clamp_(low, high).numpy().astype(kind)


def _require(condition: bool, need: str, found: str) -> None:
    if not condition:
        raise InputError(f"{need} needed, {found} found")


def _require_scalar(count: int) -> None:
    _require(count == 1, "one value per voxel", f"{count} (colours, vectors or channels)")


def _grid(shape: Any, spacing: Any, origin: Any, direction: Any) -> Grid:
    """A grid from whatever holds numbers; ValueError or TypeError where they are not three, or no numbers."""
    spacing_mm, origin_mm = _floats(spacing), _floats(origin)
    rows = np.asarray(direction, np.float64)
    if rows.shape != (3, 3):
        raise ValueError(f"Grid direction must be an orthonormal 3 x 3 matrix, got one of shape {rows.shape}")
    return Grid(shape, spacing_mm, origin_mm, (_floats(rows[0]), _floats(rows[1]), _floats(rows[2])))


def _floats(values: Any) -> Any:
    return tuple(np.ravel(np.asarray(values, np.float64)).tolist())
