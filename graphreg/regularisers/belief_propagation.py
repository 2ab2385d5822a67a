"""Min-sum belief propagation on spanning trees of the keypoint graph (Heinrich et al. 2015; Felzenszwalb & Huttenlocher
2006, 2012).

Exact min-marginals of  sum_i a c_i(d_i) + sum_(i,j) |d_i - d_j|^2 / (2 s^2 l_ij / l)  on each tree in two passes, from
the leaves to the root and back, one batch of keypoints per depth. A message is a min-convolution with a parabola.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from torch import Tensor

from graphreg.core.cubes import confidence, soft_argmin
from graphreg.core.errors import InputError
from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class BeliefPropagation(Settings):
    """Regulariser. Raises InputError where a number is out of range."""

    data_weight: float = 200.0  # a
    slack_mm: float = 4.0  # s: difference of neighbours at the median distance l that costs half a unit
    temperature: float = 1.0  # of the soft minimum that reads the displacement

    def check(self) -> None:
        for name in ("data_weight", "slack_mm", "temperature"):
            if not getattr(self, name) > 0:
                raise InputError(f"belief_propagation.{name} must be positive, got {getattr(self, name)}")

    def __call__(self, costs: CostVolume, graph: KeypointGraph) -> Displacements:
        """Soft minimum of the min-marginals of each keypoint."""
        parents, edge_mm = spanning_forest(graph, graph.lengths_mm)
        step = costs.step_mm
        weights = (step / self.slack_mm) ** 2 / 2 * graph.typical_mm / torch.maximum(edge_mm, 0.1 * graph.typical_mm)
        energies = min_marginals(costs.costs * self.data_weight, parents, weights.to(costs.costs))
        mean, variance = soft_argmin(energies / self.temperature, costs.step_mm)
        return Displacements(costs.keypoints, mean, confidence(variance, costs.step_mm))


def spanning_forest(graph: KeypointGraph, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Parent (N,) of each keypoint in a minimum spanning forest (-1 at a root) and the edge lengths (N,) in mm."""
    count = len(graph.keypoints)
    source, target = graph.edge_index.int().cpu().numpy()  # scipy before 1.15 takes no longer indices here
    matrix = coo_array((weights.cpu().double().numpy() + 1e-9, (source, target)), shape=(count, count)).tocsr()
    tree = minimum_spanning_tree(matrix.maximum(matrix.T))
    _, component = connected_components(tree, directed=False)
    parents = np.full(count, -1, dtype=np.int64)
    for root in np.unique(component, return_index=True)[1]:
        order, before = breadth_first_order(tree, root, directed=False)
        parents[order[1:]] = before[order[1:]]
    parent = torch.from_numpy(parents).to(graph.edge_index.device)
    points = graph.keypoints.points_mm
    return parent, (points - points[parent.clamp_min(0)]).norm(dim=1)


def depths(parents: Tensor) -> list[Tensor]:
    """Keypoints at depth 0, 1, ... of a forest."""
    parent = parents.cpu()
    depth = torch.zeros_like(parent)
    ancestor = parent.clone()
    while bool((ancestor >= 0).any()):
        depth += ancestor >= 0
        ancestor = torch.where(ancestor >= 0, parent[ancestor.clamp_min(0)], ancestor)
    order = depth.argsort(stable=True)
    return [group.to(parents.device) for group in order.split(depth.bincount().tolist())]


def min_marginals(data: Tensor, parents: Tensor, weights: Tensor) -> Tensor:
    """Exact min-marginals (N, L, L, L) of a forest with quadratic edges weights (N,) per squared label step."""
    levels = depths(parents)
    belief = data.clone()
    upward = torch.zeros_like(data)
    for nodes in reversed(levels[1:]):
        message = min_convolution(belief[nodes], weights[nodes])
        upward[nodes] = message
        belief.index_add_(0, parents[nodes], message)
    for nodes in levels[1:]:
        belief[nodes] += min_convolution(belief[parents[nodes]] - upward[nodes], weights[nodes])
    return belief


def min_convolution(energies: Tensor, weights: Tensor) -> Tensor:
    """min_e energies(e) + w |d - e|^2 (N, L, L, L), in label steps, less the smallest of each keypoint.

    Separable, and exact: a shift that costs more than the range of a keypoint's energies can never win.
    """
    out = energies - energies.amin((1, 2, 3), keepdim=True)
    reach = (out.amax((1, 2, 3)) / weights).sqrt()
    shifts = min(int(reach.max()), out.shape[1] - 1)
    w = weights[:, None, None, None]
    for axis in (1, 2, 3):
        source = out.clone()
        size = out.shape[axis]
        for shift in range(1, shifts + 1):
            raised = source + w * shift**2
            for start, end in ((0, shift), (shift, 0)):
                here = out.narrow(axis, start, size - shift)
                torch.minimum(here, raised.narrow(axis, end, size - shift), out=here)
    return out
