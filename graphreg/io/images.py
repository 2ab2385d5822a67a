"""Images and masks: NIfTI, MetaImage, NRRD files and DICOM series folders <-> records.

SimpleITK delivers LPS millimetres whatever the format, arrays in (z, y, x), and rescaled intensities for DICOM.
"""

import gzip
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import SimpleITK as sitk
import torch
from torch import Tensor

from graphreg.core.errors import InputError, PathInput, lacks_memory, unsuitable
from graphreg.core.foreign import STORED, grid_of, storable, to_sitk
from graphreg.core.grid import Grid
from graphreg.core.interop import coincide, in_words
from graphreg.core.records import ImagePair, Volume
from graphreg.io.dicom import read_series
from graphreg.io.files import atomic_path, exists, require_suffix
from graphreg.io.formats import NEED, open_image, reason
from graphreg.io.guards.headers import require_plausible
from graphreg.io.itk import itk_alone

WRITABLE = (".nii.gz", ".nii", ".mha", ".nrrd")
PIXELS = {getattr(sitk, f"sitk{name.title().replace('Uint', 'UInt')}"): name for name in STORED}
MOST_LABELS = 256  # more are those of an image
Writable = Volume | tuple[Grid, Tensor]


def read_pair(
    fixed: PathInput, moving: PathInput, fixed_mask: PathInput | None = None, moving_mask: PathInput | None = None
) -> ImagePair:
    """Two images of one patient and their masks where given. Raises InputError."""
    with ThreadPoolExecutor() as pool:  # the files are checked at once; SimpleITK reads one after the other
        volumes = list(pool.map(read_volume, (fixed, moving)))
    masks = (
        _read_region(mask, volume.grid, image) if mask is not None else None
        for mask, volume, image in zip((fixed_mask, moving_mask), volumes, (fixed, moving), strict=True)
    )
    return ImagePair(volumes[0], volumes[1], *masks)


def read_volume(path: PathInput) -> Volume:
    """A scalar 3-D image as float32 on its own grid, from a file or a DICOM series folder. Raises InputError."""
    grid, data, stored = _read(path)
    low, high = data.aminmax()  # NaN shows in both
    if not bool(torch.isfinite(torch.stack((low, high))).all()):
        broken = int((~torch.isfinite(data)).sum())
        raise unsuitable(path, "an image of finite values", f"{broken} NaN or infinite voxels")
    if low == high:
        raise unsuitable(path, "an image with contrast", f"the value {low.item():g} at every voxel")
    return Volume(grid, data, stored)


def read_mask(path: PathInput, grid: Grid, image: PathInput = "the image") -> Tensor:
    """A mask (D, H, W), True where the file is not zero, which must lie on the grid of its image. Raises InputError."""
    own, data, _ = _read(path)
    _require_grid(path, "mask", own, grid, image)
    _require_content(path, "mask", data)
    return data != 0


def read_labels(path: PathInput, grid: Grid, image: PathInput = "the image") -> Tensor:
    """A label map (D, H, W) of whole numbers, 0 for none, on the grid of its image. Raises InputError."""
    own, labels = read_label_map(path)
    _require_grid(path, "label map", own, grid, image)
    return labels


def read_label_map(path: PathInput) -> tuple[Grid, Tensor]:
    """A label map (D, H, W) of whole numbers, 0 for none, and where its voxels sit. Raises InputError."""
    own, data, _ = _read(path)
    _require_content(path, "label map", data)
    whole = data.round()
    if not bool((data == whole).all()):
        raise unsuitable(path, "a label map of whole numbers", "fractions")
    count = len(whole.unique())
    if count > MOST_LABELS:
        raise unsuitable(path, f"a label map of at most {MOST_LABELS} labels", f"{count} values")
    return own, whole.long()


def _require_grid(path: PathInput, what: str, own: Grid, grid: Grid, image: PathInput) -> None:
    if not coincide(own, grid):
        apart = "" if _overlap(own, grid) else ", without overlap"
        raise unsuitable(path, f"a {what} on the grid of {image} ({in_words(grid)})", f"{in_words(own)}{apart}")


def _require_content(path: PathInput, what: str, data: Tensor) -> None:
    """Raise InputError where values (D, H, W) are not finite, or all of them zero."""
    if not bool(torch.isfinite(torch.stack(data.aminmax())).all()):
        raise unsuitable(path, f"a {what} of finite values", "NaN or infinite voxels")
    if not bool(data.any()):
        raise unsuitable(path, f"a {what} with voxels that are not zero", f"an empty {what}")


def _read_region(path: PathInput, grid: Grid, image: PathInput) -> Tensor:
    mask = read_mask(path, grid, image)
    if bool(mask.all()):
        raise unsuitable(path, "a mask of a part of the image", "one that is set everywhere")
    return mask


def read_grid(path: PathInput) -> Grid:
    """Where the voxels of an image sit, from its header alone where it has one. Raises InputError."""
    if not Path(path).is_file():
        return read_volume(path).grid
    reader = open_image(path, voxels=False)
    _require_scalar_3d(path, reader)
    return _checked_grid(path, reader)


def write_volume(volume: Writable, path: PathInput, as_float: bool = False) -> None:
    """An image to .nii.gz, .nii, .mha or .nrrd, whole or not at all, as float32 where it is asked for.

    Else a volume is written in the type that it was stored in, integers rounded and clamped to their range. Where there
    is none, and of a grid with data (D, H, W), booleans become uint8, integers stay as they are, and the rest float32.
    """
    suffix = require_suffix(path, WRITABLE)
    grid, data, stored = (volume.grid, volume.data, volume.stored) if isinstance(volume, Volume) else (*volume, None)
    image = to_sitk(grid, storable(data, "float32" if as_float else stored))
    with atomic_path(path) as temporary:
        try:
            if suffix == ".nii.gz":
                _write_gzipped(image, temporary)
            else:
                with itk_alone():
                    sitk.WriteImage(image, str(temporary), useCompression=True)
        except (RuntimeError, OSError):
            raise OSError(f"{path}: cannot be written") from None


def _write_gzipped(image: sitk.Image, path: Path) -> None:
    """A NIfTI file compressed at the fastest level, thrice as fast as ITK at its own for two percent more of a scan."""
    plain = path.with_suffix("")  # .nii, beside it
    try:
        with itk_alone():
            sitk.WriteImage(image, str(plain))
        with (
            open(plain, "rb") as source,
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as target,  # no name, no time: equal files
        ):
            shutil.copyfileobj(source, target, 1 << 20)
    finally:
        plain.unlink(missing_ok=True)


def _read(path: PathInput) -> tuple[Grid, Tensor, str | None]:
    """Grid, values (D, H, W) as float32, and the numpy name of their type in the file."""
    if not exists(path):
        raise unsuitable(path, "an image file or DICOM series folder", "nothing")
    reader = None if Path(path).is_dir() else _checked_reader(path)
    with itk_alone():  # until it is a tensor: of two images that are read at once, one at a time is there twice
        image, kind = _execute(path, reader) if reader else read_series(path)
        return _checked_grid(path, image), torch.from_numpy(sitk.GetArrayFromImage(image)), PIXELS.get(kind)


def _checked_reader(path: PathInput) -> sitk.ImageFileReader:
    reader = open_image(path)
    _require_scalar_3d(path, reader)
    _checked_grid(path, reader)
    return reader


def _execute(path: PathInput, reader: sitk.ImageFileReader) -> tuple[sitk.Image, int]:
    kind = reader.GetPixelID()  # float where a NIfTI file has scaled voxels
    try:
        reader.SetOutputPixelType(sitk.sitkFloat32)
        image = reader.Execute()
    except RuntimeError as error:
        if lacks_memory(error):
            raise
        raise unsuitable(path, NEED, reason(error)) from None
    further = image.GetDimension() - 3
    return image[(slice(None),) * 3 + (0,) * further] if further else image, kind  # a slice is a copy


def _checked_grid(path: PathInput, image: sitk.Image | sitk.ImageFileReader) -> Grid:
    if min(image.GetSize()[:3]) < 2:
        raise unsuitable(path, "a 3-D image", f"{_size(image)} voxels")
    try:
        grid = grid_of(image)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    require_plausible(path, grid)
    return grid


def _require_scalar_3d(path: PathInput, reader: sitk.ImageFileReader) -> None:
    size = reader.GetSize()
    if len(size) < 3:
        raise unsuitable(path, "a 3-D image", f"a 2-D image of {_size(reader)} pixels")
    if max(size[3:], default=1) > 1:
        raise unsuitable(path, "one 3-D image", f"a {len(size)}-D image of {_size(reader)} voxels")
    if reader.GetNumberOfComponents() > 1:
        raise unsuitable(path, "one value per voxel", f"{reader.GetNumberOfComponents()} (colours or vectors)")


def _size(image: sitk.Image | sitk.ImageFileReader) -> str:
    return " x ".join(str(n) for n in image.GetSize())


def _overlap(one: Grid, other: Grid) -> bool:
    low = torch.maximum(one.corners_mm().amin(0), other.corners_mm().amin(0))
    high = torch.minimum(one.corners_mm().amax(0), other.corners_mm().amax(0))
    return bool((low <= high).all())
