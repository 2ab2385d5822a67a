"""Stage 3: how well every displacement of a cube fits.  features, Keypoints -> CostVolume

For a keypoint p and a displacement d the cost is the mean squared difference of the descriptors over a patch of
offsets o (Hansen & Heinrich 2021, eq. 3),

    c(p, d) = mean_o |f(p + o) - m(p + d + o)|^2 = mean_o |f|^2 + |m|^2 - 2 <f, m>,

so that one batched matrix product per chunk of keypoints does the work. Patch offsets and displacements share one
lattice of the label step: a window of moving descriptors is gathered once and serves them all. Chunks are so small that
their products stay in the cache of a CPU, where they are summed over the patch at once.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from graphreg.core.cubes import label_grid
from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, FeatureVolume, Keypoints
from graphreg.core.settings import Settings
from graphreg.runtime.chunks import rows

MOST_STEPS = 32  # of a cube to either side: 65 x 65 x 65 labels for every keypoint


@dataclass(frozen=True, kw_only=True)
class DisplacementSearch(Settings):
    """The cube of displacements. Raises InputError where a number is out of range."""

    radius_mm: float = 16.0  # largest displacement per axis
    step_mm: float = 2.0  # distance of neighbouring labels, rounded to voxels of the features
    patch: int = 2  # patch half-width in label steps, see patch_offsets
    full_patch: bool = False  # whether all voxels of the patch count, not a body-centred quarter of them
    symmetric: bool = False  # whether the mirrored backward costs take part

    def check(self) -> None:
        if self.step_mm <= 0 or self.radius_mm < self.step_mm:
            raise InputError(f"cost labels need 0 < step <= radius in mm, got {self.step_mm} and {self.radius_mm}")
        if self.radius_mm > MOST_STEPS * self.step_mm:
            raise InputError(f"cost labels reach at most {MOST_STEPS} steps, got {self.radius_mm} of {self.step_mm} mm")
        if not 0 <= self.patch <= MOST_STEPS:
            raise InputError(f"cost patch must be within 0 and {MOST_STEPS}, got {self.patch}")

    def __call__(
        self, fixed: FeatureVolume, moving: FeatureVolume, keypoints: Keypoints, weights: Tensor | None = None
    ) -> CostVolume:
        """Costs of displacing each keypoint of the fixed features within the moving features.

        Both live on one isotropic grid along the LPS axes; keypoints and label step are rounded to its voxels, see
        ``labels`` of the result. Beyond the grid its border goes on. ``weights`` (D, H, W) >= 0 say how much a voxel
        counts in the patch of a keypoint, all alike where there are none: with those of an organ, a patch at its border
        does not look at what moves otherwise.

        Symmetric costs are the mean of these and of the mirrored backward ones, which compare the moving patch at p
        with the fixed patch at p - d (corrField; Heinrich et al. 2015): they agree where motion is locally constant.

        Raises:
            InputError: the features have different numbers of channels.
            ValueError: the grids or the weights differ in shape, or are not isotropic along the LPS axes.
        """
        _require_shared_lattice(fixed.grid, moving.grid)
        fixed.require_channels_of(moving)
        weights = _weights(weights, fixed)
        costs = _correlate(fixed, moving, weights, keypoints, self)
        if not self.symmetric:
            return costs
        backward = _correlate(moving, fixed, weights, keypoints, self).costs.flip(1, 2, 3)  # p - d, patch by -o
        return CostVolume(keypoints, costs.labels, costs.costs.add_(backward).mul_(0.5))


def _weights(weights: Tensor | None, features: FeatureVolume) -> Tensor:
    """Weights (D, H, W) of the voxels of features. Raises ValueError where they are of another shape."""
    if weights is None:
        weights = torch.ones(features.grid.shape, device=features.data.device)
    if tuple(weights.shape) != features.grid.shape:
        raise ValueError(f"Patch weights must be {features.grid.shape}, got {tuple(weights.shape)}")
    return weights.to(features.data)


def _correlate(
    anchor: FeatureVolume, search: FeatureVolume, weights: Tensor, keypoints: Keypoints, config: DisplacementSearch
) -> CostVolume:
    spacing = anchor.grid.spacing_mm[0]
    stride = max(round(config.step_mm / spacing), 1)
    labels = label_grid(config.radius_mm, stride * spacing)
    centres = anchor.grid.to_index(keypoints.points_mm).round().long()
    pattern = patch_offsets(config.patch, config.full_patch).to(centres.device)
    windows = _Windows(search.data, centres, stride, config.patch + labels.shape[0] // 2)
    anchors, weights = anchor.data.flatten(1), weights.flatten()
    costs = anchor.data.new_empty(len(keypoints), *labels.shape)
    corners = (pattern + config.patch).tolist()
    step = rows(len(pattern) * windows.side**3, costs.device)
    for first in range(0, len(keypoints), step):
        part = slice(first, first + step)
        patch = _flat(centres[part], pattern * stride, anchor.grid)
        _patch_ssd(anchors[:, patch], weights[patch], windows[part], corners, costs[part])
    return CostVolume(keypoints, labels, costs)


class _Windows:
    """Cubes of descriptors around keypoints, in label steps, with their squared norm as the last channel.

    Rows of a cube are copied as they lie in memory, for which columns of one phase of the label step lie together and
    the rows go on beyond the border. Along the other axes the border is met by clamping.
    """

    def __init__(self, data: Tensor, centres: Tensor, stride: int, radius: int) -> None:
        """``data`` (C, D, H, W), centres (N, 3) in voxels; radius in label steps."""
        reach, x = radius * stride, centres[:, 2]
        before = max(reach - int(x.min()), 0)
        after = max(int(x.max()) + reach + 1 - data.shape[3], 0)
        self._data, phases = _in_phases(data, before, after, stride)
        norm = torch.empty_like(self._data[0])
        for slices, out in zip(self._data.unbind(1), norm, strict=True):
            torch.sum(slices.square(), 0, out=out)
        self._channels = (*self._data.unbind(0), norm)
        self.side = 2 * radius + 1
        start = x - reach + before
        self._start = phases.to(x.device)[start % stride] + start // stride
        self._centres = centres
        self._steps = torch.arange(-radius, radius + 1, device=x.device) * stride

    def __getitem__(self, part: slice) -> Tensor:
        """Cubes (n, C + 1, side^3) of a range of keypoints."""
        depth, height, row = self._data.shape[1:]
        z = (self._centres[part, :1] + self._steps).clamp(0, depth - 1)
        y = (self._centres[part, 1:2] + self._steps).clamp(0, height - 1)
        first = ((z[:, :, None] * height + y[:, None]) * row + self._start[part, None, None]).flatten()
        cubes = self._data.new_empty(len(self._channels), len(first), self.side)
        for channel, cube in zip(self._channels, cubes, strict=True):
            runs = channel.as_strided((channel.numel() - self.side + 1, self.side), (1, 1))
            torch.index_select(runs, 0, first, out=cube)
        return cubes.reshape(len(cubes), len(z), -1).transpose(0, 1)


def _in_phases(data: Tensor, before: int, after: int, stride: int) -> tuple[Tensor, Tensor]:
    """Rows of data (C, D, H, W) beyond their border, every stride-th column together, and where each phase starts."""
    if before or after:
        data = F.pad(data, (before, after, 0, 0, 0, 0), mode="replicate")
    if stride == 1:
        return data.contiguous(), torch.zeros(1, dtype=torch.int64)
    phases = [data[..., phase::stride] for phase in range(stride)]
    widths = torch.tensor([phase.shape[3] for phase in phases])
    return torch.cat(phases, 3), widths.cumsum(0) - widths


def _patch_ssd(f: Tensor, w: Tensor, m: Tensor, corners: list[list[int]], out: Tensor) -> None:
    """Weighted mean squared difference of patches f (C, n, P) and windows m (n, C + 1, W), to out (n, L, L, L).

    The last channel of a window holds the squared norm, w (n, P) the weights, and ``corners`` say where in the window
    each sample of the patch meets the first label.
    """
    w = w / (len(f) * w.sum(1, keepdim=True)).clamp_min(torch.finfo(w.dtype).tiny)
    query = torch.cat((-2 * w * f, w[None]))
    out.copy_((w * f.square().sum(0)).sum(1)[:, None, None, None].expand_as(out))
    width, side = round(m.shape[2] ** (1 / 3)), out.shape[1]
    product = torch.bmm(query.permute(1, 2, 0), m).unflatten(2, (width,) * 3)  # (n, P, W)
    for sample, (z, y, x) in enumerate(corners):
        out += product[:, sample, z : z + side, y : y + side, x : x + side]
    out.clamp_min_(0)


def patch_offsets(radius: int, full: bool = False) -> Tensor:
    """Samples (P, 3) of a patch in label steps: its whole cube, or a body-centred lattice with a corner of the cube.

    The lattice covers a cube of side 2 radius + 1 with about a quarter of its points: 9, 35, 91 for a radius of
    1, 2, 3.
    """
    axis = torch.arange(-radius, radius + 1)
    cube = torch.cartesian_prod(axis, axis, axis)
    from_corner = (cube - radius) % 2
    return cube if full else cube[(from_corner == from_corner[:, :1]).all(1)]


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
