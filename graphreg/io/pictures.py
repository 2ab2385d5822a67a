"""Pictures: two images laid over each other in three planes, as a PNG.

The fixed image is red and the other one cyan, so that tissue in both is grey and tissue in one alone is coloured.
Planes run along the axes of the patient, whatever the storage: head and front up, the patient's right on the left.
"""

import math
from collections.abc import Callable

import SimpleITK as sitk
import torch
from torch import Tensor

from graphreg.core.errors import PathInput
from graphreg.core.grid import Grid, mask_points_mm, sample
from graphreg.core.records import Volume
from graphreg.io.files import atomic_path, require_suffix
from graphreg.io.itk import itk_writes

MARGIN_MM = 15.0  # around the mask
LONGEST = 420  # pixels along the longest side of the picture region
GAP = 6  # pixels between planes
Window = tuple[float, float]  # lowest and highest intensity shown: black, which also lies outside, and white
# rows and columns of axial, coronal and sagittal planes: axis of LPS (x, y, z) and whether it is turned round
PLANES = (((1, False), (0, False)), ((2, True), (0, False)), ((2, True), (1, False)))


def write_overlay(path: PathInput, fixed: Volume, other: Volume, window: Window, mask: Tensor | None = None) -> None:
    """Axial, coronal and sagittal planes through the mask of fixed (D, H, W), or through the image."""
    write_pixels(path, _row(fixed, other, window, mask))


def write_comparison(
    path: PathInput, fixed: Volume, before: Volume, after: Volume, window: Window, mask: Tensor | None = None
) -> None:
    """Two overlays, one above the other: the moving image before and after registration."""
    rows = [_row(fixed, other, window, mask) for other in (before, after)]
    write_pixels(path, torch.cat([rows[0], rows[0].new_zeros(GAP, *rows[0].shape[1:]), rows[1]]))


def _row(fixed: Volume, other: Volume, window: Window, mask: Tensor | None) -> Tensor:
    """Pixels (height, width, 3) in [0, 1] of the three planes side by side."""

    def paint(points_mm: Tensor) -> Tensor:
        red, cyan = (shade(volume, points_mm, window) for volume in (fixed, other))
        return torch.stack([red, cyan, cyan], -1)

    return three_planes(fixed.grid, mask, paint)


def three_planes(grid: Grid, mask: Tensor | None, paint: Callable[[Tensor], Tensor]) -> Tensor:
    """Pixels (height, width, 3) of the planes, painted from points (h, w, 3) in mm to colours (h, w, 3)."""
    low, high, centre = _region(grid, mask)
    pixel_mm = (high - low).max().item() / LONGEST
    planes = [_plane(low, high, centre, pixel_mm, rows, columns) for rows, columns in PLANES]
    height = max(plane.shape[0] for plane in planes)
    parts = []
    for plane in planes:
        pixels = paint(plane)
        above = (height - pixels.shape[0]) // 2
        part = pixels.new_zeros(height, pixels.shape[1] + GAP, 3)
        part[above : above + pixels.shape[0], : pixels.shape[1]] = pixels
        parts.append(part)
    return torch.cat(parts, 1)[:, :-GAP]


def _region(grid: Grid, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Lowest and highest corner, and the point (3,) in mm that all planes go through.

    Across the patient it lies a quarter of the way, in the right half of organs that come in twos.
    """
    corners = grid.corners_mm()
    low, high = corners.amin(0), corners.amax(0)
    if mask is None:
        return low, high, low + (high - low) * low.new_tensor([0.25, 0.5, 0.5])
    inside = mask_points_mm(mask.cpu(), grid)
    low = torch.maximum(low, inside.amin(0) - MARGIN_MM)
    high = torch.minimum(high, inside.amax(0) + MARGIN_MM)
    centre = inside.mean(0)
    centre[0] = inside[:, 0].kthvalue(len(inside) // 4 + 1).values
    return low, high, centre


def _plane(
    low: Tensor, high: Tensor, centre: Tensor, pixel_mm: float, rows: tuple[int, bool], columns: tuple[int, bool]
) -> Tensor:
    """Positions (height, width, 3) in mm of the pixels of one plane."""
    steps = []
    for axis, turned in (rows, columns):
        count = max(math.floor((high[axis] - low[axis]).item() / pixel_mm + 1e-6), 1) + 1
        line = torch.linspace(low[axis].item(), high[axis].item(), count, dtype=torch.float64)
        steps.append(line.flip(0) if turned else line)
    points_mm = centre.expand(len(steps[0]), len(steps[1]), 3).clone()
    points_mm[..., rows[0]] = steps[0][:, None]
    points_mm[..., columns[0]] = steps[1]
    return points_mm


def shade(volume: Volume, points_mm: Tensor, window: Window) -> Tensor:
    """Grey value in [0, 1] of an image at points (height, width, 3); black outside."""
    black, white = window
    values = sample(volume.data[None], volume.grid, points_mm.to(volume.data.device), outside=black)[0]
    return ((values.cpu() - black) / (white - black)).clamp(0, 1)


def write_pixels(path: PathInput, pixels: Tensor) -> None:
    """Colours (height, width, 3) in [0, 1] to a PNG."""
    require_suffix(path, (".png",))
    image = sitk.GetImageFromArray((pixels * 255).round().to(torch.uint8).numpy(), isVector=True)
    with atomic_path(path) as temporary, itk_writes(path):
        sitk.WriteImage(image, str(temporary))
