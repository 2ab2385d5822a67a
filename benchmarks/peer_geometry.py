"""What the peers share and have none of themselves: a start from the lung masks, a common grid, one format of result.

SimpleITK alone, so that no peer pays for an import of graphreg. Transforms map points of the fixed image to points of
the moving image in LPS mm, as everywhere in graphreg; images are those of SimpleITK.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from common import images, masks

Settings = dict[str, Any]

AIR_HU = -1000
IDENTITY = sitk.Transform()
START: Settings = {
    "grid_mm": 4.0,
    "margin_mm": 20.0,  # distances to the masks' surfaces are cut here, so the surfaces count and not the far field
    "iterations": 200,
}


@dataclass(frozen=True)
class Pair:
    """Two scans and, unless they are withheld, their lung masks."""

    fixed: sitk.Image
    moving: sitk.Image
    fixed_mask: sitk.Image | None
    moving_mask: sitk.Image | None


def read_pair(folder: Path, masked: bool) -> Pair:
    """The images of a pair; masks are 0 and 1."""
    fixed, moving = (sitk.ReadImage(str(file), sitk.sitkFloat32) for file in images(folder))
    if not masked:
        return Pair(fixed, moving, None, None)
    return Pair(fixed, moving, *(sitk.ReadImage(str(file)) != 0 for file in masks(folder)))


def box_grid(image: sitk.Image, mask: sitk.Image | None, spacing_mm: float, margin_mm: float, step: int) -> sitk.Image:
    """An empty isotropic image along the LPS axes, around a mask or the whole image; sizes are multiples of step."""
    low, size = (0, 0, 0), image.GetSize()
    if mask is not None:
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(mask)
        box = shape.GetBoundingBox(1)
        low, size = box[:3], box[3:]
    ends = [(first, first + count - 1) for first, count in zip(low, size, strict=True)]
    corners = np.array([image.TransformIndexToPhysicalPoint(corner) for corner in product(*ends)])
    margin_mm = 0.0 if mask is None else margin_mm
    origin = corners.min(0) - margin_mm
    wanted = (corners.max(0) + margin_mm - origin) / spacing_mm + 1
    grid = sitk.Image([int(-(-n // step)) * step for n in wanted], sitk.sitkUInt8)
    grid.SetSpacing([spacing_mm] * 3)
    grid.SetOrigin(origin.tolist())
    return grid


def start_transform(pair: Pair) -> sitk.AffineTransform:
    """An affine start: of the masks' surfaces from their moments, or of the scans from their centres without masks."""
    margin_mm = START["margin_mm"]
    grids = [
        box_grid(image, mask, START["grid_mm"], margin_mm, 1)
        for image, mask in ((pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask))
    ]
    method = sitk.ImageRegistrationMethod()
    if pair.fixed_mask is not None and pair.moving_mask is not None:
        masks = (pair.fixed_mask, pair.moving_mask)
        fixed, moving = (_distance(mask, grid, margin_mm) for mask, grid in zip(masks, grids, strict=True))
        initial = _moments(*masks)
        method.SetMetricAsMeanSquares()
    else:
        fixed, moving = (
            onto(_smooth(image, START["grid_mm"]), grid, IDENTITY)
            for image, grid in zip((pair.fixed, pair.moving), grids, strict=True)
        )
        initial = sitk.AffineTransform(
            sitk.CenteredTransformInitializer(
                fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.GEOMETRY
            )
        )
        method.SetMetricAsCorrelation()
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, START["iterations"])
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(initial, inPlace=True)
    method.Execute(fixed, moving)
    return initial


def onto(image: sitk.Image, grid: sitk.Image, transform: sitk.Transform, outside: float = AIR_HU) -> sitk.Image:
    """An image seen through a transform on a grid; masks (8-bit) keep their labels."""
    is_mask = image.GetPixelID() == sitk.sitkUInt8
    interpolator = sitk.sitkNearestNeighbor if is_mask else sitk.sitkLinear
    return sitk.Resample(image, grid, transform, interpolator, 0 if is_mask else outside)


def on_grid(pair: Pair, grid: sitk.Image, affine: sitk.Transform) -> Pair:
    """The pair on one grid, the moving side seen through the start."""
    fixed, moving = onto(pair.fixed, grid, IDENTITY), onto(pair.moving, grid, affine)
    if pair.fixed_mask is None or pair.moving_mask is None:
        return Pair(fixed, moving, None, None)
    return Pair(fixed, moving, onto(pair.fixed_mask, grid, IDENTITY), onto(pair.moving_mask, grid, affine))


def windowed(image: sitk.Image, settings: Settings) -> sitk.Image:
    """A scan with its intensities cut to a window."""
    return sitk.Clamp(image, sitk.sitkFloat32, *settings["window_hu"])


def vectors(data: np.ndarray[Any, Any], grid: sitk.Image) -> sitk.Image:
    """Displacements (D, H, W, 3) in LPS mm on a grid."""
    image = sitk.GetImageFromArray(data.astype(np.float64), isVector=True)
    image.CopyInformation(grid)
    return image


def write_field(transform: sitk.Transform, fixed: sitk.Image, path: Path) -> None:
    """A transform as a displacement field on the grid of the fixed image: what graphreg writes, for every method."""
    size, origin, spacing, direction = fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection()
    field = sitk.TransformToDisplacementField(transform, sitk.sitkVectorFloat64, size, origin, spacing, direction)
    sitk.WriteTransform(sitk.DisplacementFieldTransform(field), str(path))


def _moments(fixed_mask: sitk.Image, moving_mask: sitk.Image) -> sitk.AffineTransform:
    """The affine map that takes the centre and the spread along x, y and z of one mask to those of another."""
    (centre, spread), (target, reach) = (_centre_spread(mask) for mask in (fixed_mask, moving_mask))
    transform = sitk.AffineTransform(3)
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(np.diag(reach / spread).ravel().tolist())
    transform.SetTranslation((target - centre).tolist())
    return transform


def _centre_spread(mask: sitk.Image) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Mean and standard deviation (3,) of the set voxels' positions in mm."""
    index = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1]  # (x, y, z)
    columns = np.array(mask.GetDirection()).reshape(3, 3) * np.array(mask.GetSpacing())
    points = index @ columns.T + np.array(mask.GetOrigin())
    return points.mean(0), points.std(0)


def _distance(mask: sitk.Image, grid: sitk.Image, limit_mm: float) -> sitk.Image:
    """Signed distance in mm to the surface of a mask on a coarse grid, cut at a limit."""
    coarse = onto(mask, grid, IDENTITY)
    distance = sitk.SignedMaurerDistanceMap(coarse, squaredDistance=False, useImageSpacing=True)
    return sitk.Clamp(distance, sitk.sitkFloat32, -limit_mm, limit_mm)


def _smooth(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """A scan cut to the window of lung and soft tissue, without what a grid of that spacing cannot hold."""
    return sitk.SmoothingRecursiveGaussian(sitk.Clamp(image, sitk.sitkFloat32, AIR_HU, 200), spacing_mm / 2)
