"""The obvious way to compute what the hot stages of graphreg compute, slow and plain: see ``runtime.py``.

What would be written first: conv3d, grid_sample, a softmax over all labels, a dense solve. It shares no more with the
stage that it checks than the order of channels and the pattern of a patch. Grids start at the origin.
"""

import math
from collections.abc import Callable
from itertools import combinations_with_replacement

import torch
import torch.nn.functional as F
from torch import Tensor

from graphreg.core.filters import gaussian_kernel
from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.features.mind_ssc import PAIRS
from graphreg.interpolation.thin_plate import ThinPlate
from graphreg.matching.cost_volume import DisplacementSearch, patch_offsets
from graphreg.regularisers import MeanField
from graphreg.sampling import Foerstner

MM = 1.25  # spacing of the images
EXACT = "donot_use_mm_for_euclid_dist"


def mind_by_convolution(data: Tensor) -> Tensor:
    """Dilation and radius 1: a kernel of +1 and -1 per pair of neighbours, and another for the mean over the patch."""
    kernels = data.new_zeros(len(PAIRS), 1, 3, 3, 3)
    for kernel, (a, b) in zip(kernels[:, 0], PAIRS, strict=True):
        kernel[a[0] + 1, a[1] + 1, a[2] + 1], kernel[b[0] + 1, b[1] + 1, b[2] + 1] = 1.0, -1.0
    padded = F.pad(data[None, None], (2,) * 6, mode="replicate")
    squared = F.conv3d(padded, kernels).square_().movedim(1, 0)
    distance = F.conv3d(squared, data.new_full((1, 1, 3, 3, 3), 1 / 27))[:, 0]
    distance -= distance.amin(0)
    variance = distance.mean(0)
    average = float(variance.double().mean())
    return torch.exp(-distance / variance.clamp(1e-3 * average, 1e3 * average))


def keypoints_by_convolution(data: Tensor, mask: Tensor, config: Foerstner) -> Tensor:
    """Structure tensor by conv3d, a general inverse, maxima by pooling, farthest points by looking at all of them."""
    blur = gaussian_kernel(config.sigma_mm / MM)
    difference = torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0]) / (12 * MM)
    gradient = [_convolved(data, difference, axis) for axis in range(3)]
    tensor = data.new_empty(int(mask.sum()), 3, 3, dtype=torch.float64)
    for i, j in combinations_with_replacement(range(3), 2):
        smooth = gradient[i] * gradient[j]
        for axis in range(3):
            smooth = _convolved(smooth, blur, axis)
        tensor[:, i, j] = tensor[:, j, i] = smooth[mask].double()
    strength = torch.zeros_like(data)
    strength[mask] = (1 / torch.linalg.inv(tensor).diagonal(dim1=1, dim2=2).sum(1)).float()
    radius = round(config.separation_mm / MM)
    highest = F.max_pool3d(strength[None, None], 2 * radius + 1, 1, radius)[0, 0]
    index = (mask & (strength == highest)).nonzero()
    mm, chosen = index.flip(1) * MM, [int(strength[index.unbind(1)].argmax())]
    distance = mm.new_full((len(mm),), math.inf)
    while len(chosen) < min(config.count, len(mm)):
        distance = torch.minimum(distance, (mm - mm[chosen[-1]]).square().sum(1))
        chosen.append(int(distance.argmax()))
    return mm[chosen]


def _convolved(data: Tensor, kernel: Tensor, axis: int) -> Tensor:
    shape = [len(kernel) if a == axis else 1 for a in range(3)]
    padding = [n // 2 for n in reversed(shape) for _ in range(2)]
    padded = F.pad(data[None, None], padding, mode="replicate")
    return F.conv3d(padded, kernel.to(data).reshape(1, 1, *shape))[0, 0]


def costs_by_sampling(fixed: Tensor, moving: Tensor, points: Tensor, config: DisplacementSearch, step: float) -> Tensor:
    """Costs (N, L, L, L) of points (N, 3) in voxels (x, y, z): all descriptors of all labels, by grid_sample."""
    reach = round(config.radius_mm / config.step_mm)
    axis = torch.arange(-reach, reach + 1, device=points.device) * step
    shifts = torch.cartesian_prod(axis, axis, axis).flip(1)
    offsets = patch_offsets(config.patch, config.full_patch).to(points).flip(1) * step

    def one_way(anchor: Tensor, search: Tensor, point: Tensor, shifts: Tensor) -> Tensor:
        patch = point[:, None] + offsets
        near = looked_up(anchor, patch)[..., None]
        far = looked_up(search, (patch[:, :, None] + shifts).flatten(1, 2)).unflatten(2, (len(offsets), -1))
        return (near - far).square_().mean((1, 2))

    out = torch.cat([one_way(fixed, moving, point, shifts) for point in points.split(2)])
    if config.symmetric:
        out = (out + torch.cat([one_way(moving, fixed, point, -shifts) for point in points.split(2)])) / 2
    return out.unflatten(1, (len(axis),) * 3)


def looked_up(data: Tensor, where: Tensor) -> Tensor:
    """Values (n, C, m) of data (C, D, H, W) at places (n, m, 3) in voxels (x, y, z); the border goes on."""
    size = torch.tensor(data.shape[:0:-1], device=data.device)
    batch = data.expand(len(where), *data.shape)  # by which grid_sample shares out the work
    places = (where * 2 / (size - 1) - 1)[:, None, None]
    return F.grid_sample(batch, places, padding_mode="border", align_corners=True)[:, :, 0, 0]


def mean_field_by_softmax(volume: CostVolume, graph: KeypointGraph, config: MeanField) -> Tensor:
    """Probabilities of all labels in every sweep."""
    shifts, energy = volume.offsets_mm, config.data_weight * volume.costs.flatten(1)
    own = torch.arange(len(energy), device=energy.device)[:, None]
    heard = torch.cat((own, graph.edge_index[0].reshape(len(energy), -1)), 1)
    q = torch.softmax(-energy, 1)
    for coupling in config.couplings:
        mean = q @ shifts
        variance = (q @ shifts.square() - mean.square()).sum(1)
        certainty = 1 / (1 + variance[heard])[..., None]
        centre = (mean[heard] * certainty).sum(1) / certainty.sum(1)
        apart_mm = torch.cdist(centre, shifts, compute_mode=EXACT)
        q = torch.softmax(-energy - coupling * apart_mm.square(), 1)
    return q @ shifts


def messages_by_trial(energies: Tensor, weights: Tensor) -> Tensor:
    """Every label against every other along each axis."""
    out = energies - energies.amin((1, 2, 3), keepdim=True)
    steps = torch.arange(out.shape[1], device=out.device)
    paid = weights[:, None, None] * (steps[:, None] - steps).square()
    for axis in (1, 2, 3):
        out = (out.movedim(axis, 3)[..., None, :] + paid[:, None, None]).amin(4).movedim(3, axis)
    return out


def spline_by_solve(motion: Displacements, config: ThinPlate) -> Callable[[Tensor], Tensor]:
    """The whole system of knots and affine part, as it stands in the book."""
    knots = motion.keypoints.points_mm.double()
    plane = torch.cat((torch.ones_like(knots[:, :1]), knots), 1)
    system = torch.cat((torch.cat((-torch.cdist(knots, knots), plane), 1), F.pad(plane.T, (0, 4))))
    system.diagonal()[: len(knots)] += config.smoothness_mm / motion.confidence.double()
    found = torch.linalg.solve(system, F.pad(motion.vectors_mm.double(), (0, 0, 0, 4)))
    weights, affine = found[:-4], found[-4:]
    return lambda points: affine[0] + points @ affine[1:] - torch.cdist(points, knots) @ weights
