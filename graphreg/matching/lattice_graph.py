"""Stage 4: the six neighbours of a regular lattice.  Keypoints -> KeypointGraph

The axes and the steps along them are read from the points: the shortest way between two points is a step along one
axis; in the plane across it the shortest way is a step along the second; what is left is the third. In units of these
steps neighbours are 1 apart and diagonals 1.41, however the lattice is turned and however its steps differ.

The lattice may have gaps, but some pair of points must be a step apart along its finest axis, and along every other
axis two neighbouring layers must hold points, opposite one another or not. Points that lie on no such lattice are
refused.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree

from graphreg.core.errors import InputError
from graphreg.core.records import KeypointGraph, Keypoints
from graphreg.core.settings import Settings

Array = npt.NDArray[np.float64]

REACH = 1.1  # in steps: a neighbour is 1 away, a diagonal 1.41
ASTRAY = 0.1  # in steps: the farthest that a point may lie from its place
COINCIDENT = 0.01  # in the shortest steps: points nearer than this are one, seen along an axis
NEIGHBOURS = 14  # that are looked at: itself, up to seven more of its place, six around it


@dataclass(frozen=True, kw_only=True)
class SixNeighbours(Settings):
    """Connector of the points of a regular lattice."""

    def __call__(self, keypoints: Keypoints) -> KeypointGraph:
        """Edges of points one step apart along an axis, in both directions, ordered by target, then source.

        A point without a neighbour keeps none. Raises InputError where the points are not those of a lattice.
        """
        points_mm = keypoints.points_mm
        places = _places(points_mm.detach().cpu().double().numpy())
        pairs = cKDTree(places).query_pairs(REACH, output_type="ndarray")
        source, target = np.concatenate((pairs, pairs[:, ::-1])).T
        edges = np.stack((source, target))[:, np.lexsort((source, target))]
        return KeypointGraph(keypoints, torch.from_numpy(edges.astype(np.int64)).to(points_mm.device))


def _places(points: Array) -> Array:
    """Whole steps (N, 3) of points (N, 3) along the axes of their lattice."""
    left, steps, same = points - points[:1], np.zeros_like(points), 1e-3
    for axis in range(3):
        step = _shortest(left, same)
        if step is None:
            break
        steps[:, axis] = left @ step / (step @ step)
        left = left - steps[:, axis, None] * step
        same = max(same, COINCIDENT * float(np.linalg.norm(step)))
    places = steps.round()
    if len(points) and np.abs(steps - places).max() > ASTRAY:
        raise InputError("Six neighbours need keypoints of a regular lattice, got some between its places")
    return places


def _shortest(points: Array, same: float) -> Array | None:
    """The step (3,) between the nearest of points (N, 3) that are not the same; None where all are.

    It is the mean of all steps like it: a single one, rounded, would miss the far end of the lattice.
    """
    first = np.unique((points / same).round(), axis=0, return_index=True)[1]
    points = points[first]  # up to eight remain of each place, where it lies on a border of the rounding
    if len(points) < 2:
        return None
    distances, neighbours = (np.asarray(a) for a in cKDTree(points).query(points, min(NEIGHBOURS, len(points))))
    distances = np.where(distances > same, distances, np.inf)
    if not np.isfinite(distances).any():
        return None
    centres, ranks = np.nonzero(distances <= 1.01 * distances.min())
    ways = points[neighbours[centres, ranks]] - points[centres]
    cosines = ways @ ways[0] / (ways[0] @ ways[0])
    alike = np.abs(cosines) > 0.9
    return (ways[alike] * np.sign(cosines[alike, None])).mean(0)
