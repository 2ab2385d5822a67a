"""Stage 4: which keypoints influence one another.  Keypoints -> KeypointGraph

k nearest neighbours, by scipy's k-d tree on the CPU, by torch-cluster elsewhere where it is installed, by a chunked
distance matrix where it is not. The three agree but for the order of equal distances.
"""

from dataclasses import dataclass
from importlib.util import find_spec

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.records import KeypointGraph, Keypoints
from graphreg.core.settings import Settings

CHUNK = 2048  # rows of the distance matrix at once; bounds memory


@dataclass(frozen=True, kw_only=True)
class GraphConfig(Settings):
    """Neighbourhood of a keypoint. Raises InputError where a number is out of range."""

    neighbours: int = 10  # k, without the point itself; 0 leaves every keypoint alone

    def check(self) -> None:
        if self.neighbours < 0:
            raise InputError(f"graph.neighbours must be at least 0, got {self.neighbours}")


def connect(keypoints: Keypoints, config: GraphConfig = GraphConfig()) -> KeypointGraph:
    """Directed graph in which each keypoint hears its k nearest neighbours, nearest first.

    Raises:
        InputError: there are no more keypoints than neighbours wanted.
    """
    k = config.neighbours
    if len(keypoints) <= k:
        raise InputError(f"{k} neighbours need at least {k + 1} keypoints, got {len(keypoints)}")
    points_mm = keypoints.points_mm
    if k == 0:
        return KeypointGraph(keypoints, torch.empty(2, 0, dtype=torch.int64, device=points_mm.device))
    if points_mm.device.type == "cpu":
        sources = nearest_scipy(points_mm, k)
    elif points_mm.device.type == "cuda" and k < 100 and find_spec("torch_cluster"):
        sources = nearest_cluster(points_mm, k)
    else:
        sources = nearest_torch(points_mm, k)
    targets = torch.arange(len(keypoints), device=points_mm.device).repeat_interleave(k)
    return KeypointGraph(keypoints, torch.stack((sources.flatten(), targets)))


def nearest_scipy(points_mm: Tensor, k: int) -> Tensor:
    """Indices (N, k) of the nearest other points (N, 3), by scipy's k-d tree."""
    points = points_mm.detach().cpu().double().numpy()
    found = torch.from_numpy(cKDTree(points).query(points, k + 1)[1])
    return _without_self(found.to(points_mm.device), k)


def nearest_cluster(points_mm: Tensor, k: int) -> Tensor:
    """Indices (N, k) of the nearest other points (N, 3), by torch-cluster; on CUDA k is at most 99."""
    from torch_cluster import knn

    return _without_self(knn(points_mm, points_mm, k + 1)[1].reshape(-1, k + 1), k)


def nearest_torch(points_mm: Tensor, k: int) -> Tensor:
    """Indices (N, k) of the nearest other points (N, 3), from distances computed a chunk of rows at a time."""
    exact = "donot_use_mm_for_euclid_dist"
    rows = [torch.cdist(c, points_mm, compute_mode=exact).topk(k + 1, largest=False)[1] for c in points_mm.split(CHUNK)]
    return _without_self(torch.cat(rows), k)


def _without_self(found: Tensor, k: int) -> Tensor:
    """Drops each row's own index (N, k + 1) -> (N, k); where coinciding points crowded it out, the last one."""
    own = found == torch.arange(len(found), device=found.device)[:, None]
    own[:, -1] |= ~own.any(1)
    return found[~own].reshape(-1, k)
