"""Stage 3: how well every displacement of a cube fits.  features, Keypoints -> CostVolume

For a keypoint p and a displacement d the cost is the mean squared difference of the descriptors over a patch of
offsets o (Hansen & Heinrich 2021, eq. 3),

    c(p, d) = mean_o |f(p + o) - m(p + d + o)|^2 = mean_o |f|^2 + |m|^2 - 2 <f, m>,

so that one batched matrix product per chunk of keypoints does the work. Patch offsets and displacements share one
lattice of the label step: a window of moving descriptors is gathered once and serves them all.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.grid import Grid
from graphreg.records import CostVolume, FeatureVolume, Keypoints


@dataclass(frozen=True, kw_only=True)
class CostConfig:
    """The cube of displacements. Raises ValueError where a number is out of range."""

    radius_mm: float = 16.0  # largest displacement per axis
    step_mm: float = 2.0  # distance of neighbouring labels, rounded to voxels of the features
    patch: int = 2  # patch half-width in label steps, see patch_offsets
    symmetric: bool = False  # whether the mirrored backward costs take part
    chunk: int = 64  # keypoints at once; bounds memory

    def __post_init__(self) -> None:
        if self.step_mm <= 0 or self.radius_mm < self.step_mm:
            raise ValueError(f"cost labels need 0 < step <= radius in mm, got {self.step_mm} and {self.radius_mm}")
        if self.patch < 0 or self.chunk < 1:
            raise ValueError(f"cost patch and chunk must be at least 0 and 1, got {self.patch} and {self.chunk}")


def compare(
    fixed: FeatureVolume,
    moving: FeatureVolume,
    keypoints: Keypoints,
    config: CostConfig = CostConfig(),
    weights: Tensor | None = None,
) -> CostVolume:
    """Costs of displacing each keypoint of the fixed features within the moving features.

    Both live on one isotropic grid along the LPS axes; keypoints and label step are rounded to its voxels, see
    ``labels`` of the result. Beyond the grid its border goes on. ``weights`` (D, H, W) >= 0 say how much a voxel counts
    in the patch of a keypoint, all alike where there are none: with those of the lung, a patch at the pleura does not
    look at the chest wall, which moves otherwise.

    Symmetric costs are the mean of these and of the mirrored backward ones, which compare the moving patch at p with
    the fixed patch at p - d (corrField; Heinrich et al. 2015): they agree where the motion is locally constant.

    Raises:
        ValueError: the grids or the weights differ in shape, or are not isotropic along the LPS axes.
    """
    _require_shared_lattice(fixed.grid, moving.grid)
    if weights is None:
        weights = torch.ones(fixed.grid.shape, device=fixed.data.device)
    if tuple(weights.shape) != fixed.grid.shape:
        raise ValueError(f"Patch weights must be {fixed.grid.shape}, got {tuple(weights.shape)}")
    weights = weights.to(fixed.data)
    forward = _correlate(fixed, moving, weights, keypoints, config, sign=1)
    if not config.symmetric:
        return forward
    backward = _correlate(moving, fixed, weights, keypoints, config, sign=-1)
    return CostVolume(keypoints, forward.labels, forward.costs.add_(backward.costs).mul_(0.5))


def label_grid(radius_mm: float, step_mm: float) -> Grid:
    """The cube of displacements as a grid: label (z, y, x) stands for the displacement at its position.

    The radius is rounded up to whole steps.
    """
    reach = max(math.ceil(radius_mm / step_mm - 1e-6), 1)
    return Grid((2 * reach + 1,) * 3, (step_mm,) * 3, (-reach * step_mm,) * 3)


def _correlate(
    anchor: FeatureVolume, search: FeatureVolume, weights: Tensor, keypoints: Keypoints, config: CostConfig, sign: int
) -> CostVolume:
    spacing = anchor.grid.spacing_mm[0]
    stride = max(round(config.step_mm / spacing), 1)
    labels = label_grid(config.radius_mm, stride * spacing)
    centres = anchor.grid.to_index(keypoints.points_mm).round().long()
    pattern = patch_offsets(config.patch).to(centres.device)
    window = _cube(config.patch + labels.shape[0] // 2, stride * sign, centres.device)
    anchors, searches = anchor.data.flatten(1), _rows(search.data)
    costs = anchor.data.new_empty(len(keypoints), *labels.shape)
    for first in range(0, len(keypoints), config.chunk):
        chunk = centres[first : first + config.chunk]
        patch = _flat(chunk, pattern * stride * sign, anchor.grid)
        f = anchors[:, patch].permute(1, 2, 0)  # (n, P, C)
        m = searches[_flat(chunk, window, search.grid)]  # (n, W, C + 1)
        corners = pattern + config.patch
        costs[first : first + config.chunk] = _patch_ssd(f, weights.flatten()[patch], m, corners)
    return CostVolume(keypoints, labels, costs)


def _rows(data: Tensor) -> Tensor:
    """Descriptors (C, D, H, W) and their squared norm as rows (voxels, C + 1): what is read together lies together."""
    rows = data.new_empty(data[0].numel(), len(data) + 1)
    rows[:, :-1] = data.flatten(1).T
    norm = torch.zeros_like(data[0])
    for channel in data:
        norm.addcmul_(channel, channel)
    rows[:, -1] = norm.flatten()
    return rows


def _patch_ssd(f: Tensor, w: Tensor, m: Tensor, corners: Tensor) -> Tensor:
    """Weighted mean squared difference (n, L, L, L) of patches f (n, P, C) and windows m (n, W, C + 1).

    The last channel of a window holds the squared norm, w (n, P) the weights, and ``corners`` (P, 3) say where in the
    window each sample of the patch meets the first label.
    """
    w = w / w.sum(1, keepdim=True).clamp_min(torch.finfo(w.dtype).tiny)
    constant = (w * f.square().sum(2)).sum(1)
    query = torch.cat((-2 * w[..., None] * f, w[..., None]), 2)
    width = round(m.shape[1] ** (1 / 3))
    product = torch.bmm(query, m.transpose(1, 2)).unflatten(2, (width,) * 3)  # (n, P, W)
    side = width - int(corners.max())
    total = constant[:, None, None, None].expand(-1, side, side, side).clone()
    for sample, (z, y, x) in enumerate(corners.tolist()):
        total += product[:, sample, z : z + side, y : y + side, x : x + side]
    return total.div_(f.shape[2]).clamp_min_(0)


def patch_offsets(radius: int) -> Tensor:
    """Samples (P, 3) of a patch in label steps: a body-centred lattice in its cube, a corner of the cube included.

    It covers a cube of side 2 radius + 1 with about a quarter of its points: 9, 35, 91 for a radius of 1, 2, 3.
    """
    cube = _cube(radius, 1, torch.device("cpu"))
    return cube[((cube - radius) % 2 == 0).all(1) | ((cube - radius) % 2 == 1).all(1)]


def _cube(radius: int, stride: int, device: torch.device) -> Tensor:
    """Voxel offsets ((2 radius + 1)^3, 3) of a cube, the last axis running fastest."""
    axis = torch.arange(-radius, radius + 1, device=device) * stride
    return torch.cartesian_prod(axis, axis, axis)


def _flat(centres: Tensor, offsets: Tensor, grid: Grid) -> Tensor:
    """Flat voxel numbers (n, P) of every offset around every centre, kept inside the grid."""
    flat = centres.new_zeros(len(centres), len(offsets))
    for axis, size in enumerate(grid.shape):
        flat.mul_(size).add_((centres[:, None, axis] + offsets[None, :, axis]).clamp_(0, size - 1))
    return flat


def _require_shared_lattice(fixed: Grid, moving: Grid) -> None:
    if fixed != moving:
        raise ValueError(f"Costs need both features on one grid, got {fixed} and {moving}")
    if not (fixed.is_isotropic and fixed.is_upright):
        raise ValueError(f"Costs need an isotropic grid along the LPS axes, got {fixed}")
