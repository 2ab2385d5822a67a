"""Whatever image or mask a user holds, of whichever library -> ours. No library is imported for that."""

from typing import Any

from torch import Tensor

from graphreg.core import foreign
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import Volume

IMAGES = "a Volume, an image of SimpleITK or nibabel, a MetaTensor of MONAI or an image of TorchIO"
APART = 0.1  # of a voxel: corners that are nearer are the same


def as_volume(image: Any) -> Volume:
    """A Volume as it is, or one of an image that knows where its voxels sit. Raises InputError.

    MetaTensors are (1, X, Y, Z) or (X, Y, Z) and lie in RAS, unless their ``meta["space"]`` is LPS.
    """
    if isinstance(image, Volume):
        return image
    parts = _parts(image)
    if parts is None:
        raise InputError(f"{IMAGES} needed, {_name(image)} found")
    return Volume(*parts)


def as_mask(mask: Any, grid: Grid) -> Tensor:
    """A mask (D, H, W) bool, True where it is not zero, from an image on this grid or an array or tensor of its shape.

    Raises InputError, also where it is empty.
    """
    parts = (mask.grid, mask.data, mask.stored) if isinstance(mask, Volume) else _parts(mask)
    if parts is not None and not coincide(parts[0], grid):
        raise InputError(f"a mask on the grid of its image ({in_words(grid)}) needed, {in_words(parts[0])} found")
    inside = _bare(mask, grid) if parts is None else parts[1] != 0
    if not bool(inside.any()):
        raise InputError("a mask with voxels that are not zero needed, an empty mask found")
    return inside


def coincide(one: Grid, other: Grid) -> bool:
    """Whether two grids have the same voxels in the same places, but for a tenth of a voxel."""
    if one.shape != other.shape:
        return False
    gap = (one.corners_mm() - other.corners_mm()).norm(dim=1).max()
    return gap.item() <= APART * min(one.spacing_mm)


def in_words(grid: Grid) -> str:
    """Size, spacing and origin in words."""
    size, spacing = (" x ".join(f"{n:.6g}" for n in numbers) for numbers in (grid.shape[::-1], grid.spacing_mm))
    origin = ", ".join(f"{o:.6g}" for o in grid.origin_mm)
    return f"{size} voxels of {spacing} mm from ({origin})"


def _parts(image: Any) -> foreign.Parts | None:
    """Of an image of another library, known by what it has; None where it is none."""
    if hasattr(image, "GetPixelIDTypeAsString"):
        return foreign.of_sitk(image)
    if not hasattr(image, "affine"):
        return None
    if hasattr(image, "dataobj"):
        return foreign.of_nibabel(image)
    data = image if isinstance(image, Tensor) else getattr(image, "data", None)
    return foreign.of_channels(data, image.affine, _is_lps(image)) if isinstance(data, Tensor) else None


def _is_lps(image: Any) -> bool:
    """Whether the affine of a MetaTensor says that it leads to LPS; that of others leads to RAS."""
    space = dict(getattr(image, "meta", None) or {}).get("space")
    return str(getattr(space, "value", space)).upper() == "LPS"


def _bare(mask: Any, grid: Grid) -> Tensor:
    """True where an array or tensor of the shape of a grid is not zero."""
    if not hasattr(mask, "shape"):
        raise InputError(f"{IMAGES}, an array or a tensor needed, {_name(mask)} found")
    if tuple(mask.shape) != grid.shape:
        raise InputError(f"a mask of shape {grid.shape} needed, one of {tuple(mask.shape)} found")
    return foreign.numbers(mask)[0] != 0


def _name(thing: Any) -> str:
    """The kind of a thing, its shape where it has one, and what it lacks."""
    kind = f"{type(thing).__module__}.{type(thing).__qualname__}".removeprefix("builtins.")
    if not hasattr(thing, "shape"):
        return kind
    return f"{kind} of shape {tuple(thing.shape)} without spacing (Volume.from_numpy takes it with one)"
