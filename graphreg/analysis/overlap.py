"""How well two segmentations agree: Dice by label, distances between surfaces."""

from itertools import combinations, product

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from graphreg.analysis.metrics import dice
from graphreg.core.grid import Grid, box, mask_points_mm

PERCENTILE = 95
CORNERS = tuple(product((0, 1), repeat=3))  # of a cube between eight voxels, (z, y, x)
CUT, SLOPE, HALF = 3**0.5 / 8, 2**0.5 / 2, 0.5  # areas of a corner cut off, a slanted square, half a face
# voxels inside, pairs of them along an edge, pairs across a face -> area of the marching cubes surface between eight
AREAS = {
    (0, 0, 0): 0.0,
    (1, 0, 0): CUT,
    (2, 0, 0): 2 * CUT,
    (2, 0, 1): 2 * CUT,
    (2, 1, 0): SLOPE,
    (3, 0, 3): 3 * CUT,
    (3, 1, 1): SLOPE + CUT,
    (3, 2, 1): HALF + 3 * CUT,
    (4, 0, 6): 4 * CUT,
    (4, 2, 2): 2 * SLOPE,
    (4, 2, 3): HALF + 4 * CUT,
    (4, 3, 2): SLOPE + 4 * CUT,
    (4, 3, 3): 6 * CUT,
    (4, 4, 2): 1.0,
}


def dice_by_label(a: Tensor, b: Tensor) -> dict[int, float]:
    """Dice of every label but 0 in either of two segmentations of one shape; 0 where one of them lacks it."""
    labels = torch.cat([a.unique(), b.unique()]).unique().tolist()
    return {int(label): dice(a == label, b == label) for label in labels if label != 0}


def hausdorff_95(a: Tensor, b: Tensor, grid: Grid) -> float:
    """95th percentile in mm of the distances between the surfaces of two masks (D, H, W) bool on a grid.

    A surface is the centres of the voxels with one of six neighbours outside; distances of both directions count alike.
    """
    _require_voxels(a, b, grid.shape)
    one, other = (mask_points_mm(_surface(mask), grid) for mask in (a, b))
    return float(np.percentile(torch.cat([_distances(one, other), _distances(other, one)]).numpy(), PERCENTILE))


def hausdorff_95_l2r(a: Tensor, b: Tensor) -> float:
    """HD95 in voxels as the evaluator of Learn2Reg computes it, whatever the spacing, for masks (D, H, W) bool.

    Marching cubes patches, each with its area; the larger of the 95th percentiles of both directions. To compare with
    tables of that challenge only; ``hausdorff_95`` is the plain figure in mm.
    """
    _require_voxels(a, b, a.shape)
    part = box(a | b)
    (one, area_one), (other, area_other) = (_patches(mask[part].cpu()) for mask in (a, b))
    return max(_weighted(_distances(one, other), area_one), _weighted(_distances(other, one), area_other))


def _require_voxels(a: Tensor, b: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(a.shape) != tuple(shape) or a.shape != b.shape:
        raise ValueError(f"Masks must be {tuple(shape)}, got {tuple(a.shape)} and {tuple(b.shape)}")
    if not bool(a.any()) or not bool(b.any()):
        raise ValueError("The distance of an empty mask is not defined")


def _surface(mask: Tensor) -> Tensor:
    solid = mask.cpu().numpy()
    return torch.from_numpy(solid & ~ndimage.binary_erosion(solid))


def _distances(points: Tensor, others: Tensor) -> Tensor:
    """From each of the points (N, 3) to the nearest of the others (M, 3): (N,)."""
    return torch.from_numpy(cKDTree(others.numpy()).query(points.numpy())[0])


def _patches(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Where (N, 3) in voxels the surface of a mask crosses the cubes between eight voxels, and its areas (N,) there."""
    depth, height, width = mask.shape
    padded = F.pad(mask.to(torch.uint8), (1,) * 6)
    code = torch.zeros(depth + 1, height + 1, width + 1, dtype=torch.uint8)
    for bit, (z, y, x) in enumerate(CORNERS):
        code |= padded[z : z + depth + 1, y : y + height + 1, x : x + width + 1] << bit
    crossed = (code > 0) & (code < 255)
    return crossed.nonzero().double(), _areas()[code[crossed].long()]


def _areas() -> Tensor:
    """Area of the surface between eight voxels for each of the 256 ways to be inside."""
    areas = []
    for code in range(256):
        inside = [corner for bit, corner in enumerate(CORNERS) if code >> bit & 1]
        rarer = inside if len(inside) <= 4 else [corner for corner in CORNERS if corner not in inside]
        steps = [sum(p != q for p, q in zip(*pair, strict=True)) for pair in combinations(rarer, 2)]
        areas.append(AREAS[len(rarer), steps.count(1), steps.count(2)])
    return torch.tensor(areas, dtype=torch.float64)


def _weighted(distances: Tensor, areas: Tensor) -> float:
    """The least of the distances (N,) within which 95 % of the area lie."""
    ordered, order = distances.sort()
    share = areas[order].cumsum(0) / areas.sum()
    return float(ordered[min(int(torch.searchsorted(share, PERCENTILE / 100)), len(ordered) - 1)])
