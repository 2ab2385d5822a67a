"""Stage 7, objective: continuous displacements of the keypoints, read from the cubes of costs that are there already.

    E(v) = sum_i c_i C_i(v_i) / sum_i c_i + s mean_ij |v_i - v_j|^2 / |p_i - p_j|^2

over keypoints i with confidence c_i and edges ij of their graph; costs C are linear between labels (Heinrich & Hansen,
2020). No image is looked at again.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Generator, Tensor

from graphreg.core.errors import InputError
from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class CubeConfig(Settings):
    """Smoothness of the displacements. Raises InputError where it is out of range."""

    smoothness: float = 0.03  # cost that a difference as large as the distance of two keypoints is worth

    def check(self) -> None:
        if not self.smoothness >= 0:
            raise InputError(f"smoothness of displacements must be at least 0, got {self.smoothness}")


class CostCubes:
    """The objective. Parameters: displacements (N, 3) in mm, from those of the regulariser on.

    Raises ValueError where the records are not of the same keypoints.
    """

    def __init__(
        self, costs: CostVolume, graph: KeypointGraph, found: Displacements, config: CubeConfig = CubeConfig()
    ):
        if not len(costs.keypoints) == len(graph.keypoints) == len(found.keypoints):
            counts = f"{len(costs.keypoints)}, {len(graph.keypoints)} and {len(found.keypoints)}"
            raise ValueError(f"Costs, graph and displacements of the same keypoints needed, got {counts}")
        self._costs, self._found, self._config = costs, found, config
        source, target = graph.edge_index
        self._ends = source, target
        points_mm = graph.keypoints.points_mm.to(found.vectors_mm)
        self._apart = (points_mm[source] - points_mm[target]).square().sum(1).clamp_min(1e-6)

    def start(self) -> Tensor:
        """The displacements of the regulariser."""
        return self._found.vectors_mm.clone()

    def __call__(self, parameters: Tensor, generator: Generator | None = None) -> Tensor:
        """E for displacements (N, 3); every keypoint always takes part."""
        steps = (parameters / self._costs.labels.spacing_mm[0]).to(self._costs.costs)
        values = cost_at(self._costs.costs, steps)
        confidence = self._found.confidence
        source, target = self._ends
        strain = (parameters[source] - parameters[target]).square().sum(1) / self._apart
        return values @ confidence / confidence.sum() + self._config.smoothness * strain.sum() / max(len(strain), 1)


def cost_at(costs: Tensor, where: Tensor) -> Tensor:
    """Costs (m,) of points with costs (m, L, L, L) at displacements (m, 3) in label steps, trilinear."""
    grid = where / (costs.shape[1] // 2)
    values = F.grid_sample(costs[:, None], grid[:, None, None, None], "bilinear", "border", align_corners=True)
    return values.flatten()
