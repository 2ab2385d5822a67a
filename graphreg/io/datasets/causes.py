"""Why landmarks of DIR-Lab may not show the published distance: the usual slips, tried one by one.

The distance tells slips in one of the two lists only: images exchanged, or both lists turned or shifted alike, leave it
as it is.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from graphreg.core.grid import Grid, Triple
from graphreg.core.records import Landmarks
from graphreg.io.datasets.dirlab import Scan

NEAR_MM, NEAR = 0.05, 0.005  # published figures and spacings are rounded
BLIND = "exchanged images, and points shifted or turned alike in both lists, leave the identity TRE as it is"


def agrees(found_mm: float, published_mm: float) -> bool:
    """Whether a mean distance is the published one, to 0.05 mm or half a percent."""
    return abs(found_mm - published_mm) <= max(NEAR_MM, NEAR * published_mm)


def likely_cause(landmarks: Landmarks, grids: Sequence[Grid], scan: Scan) -> str:
    """The first slip that, undone, gives the published distance; in words."""
    fixed, moving = (
        grid.to_index(points_mm.double()).flip(-1)
        for grid, points_mm in zip(grids, (landmarks.fixed_mm, landmarks.moving_mm), strict=True)
    )
    for cause, a, b in _undone(fixed, moving, grids, scan):
        if agrees(((b - a) * a.new_tensor(scan.spacing_mm)).norm(dim=1).mean().item(), scan.identity_mm):
            return cause
    return "none of the usual slips; are these the landmarks of this case, in the same order?"


def _undone(fixed: Tensor, moving: Tensor, grids: Sequence[Grid], scan: Scan) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Slips, with the voxels (N, 3) of both images, (x, y, z), as they would be without."""
    yield _geometry(grids, scan), fixed, moving
    turned = moving.clone()
    turned[:, 2] = grids[1].shape[0] - 1 - moving[:, 2]
    yield "z runs the other way in one of the two lists", fixed, turned
    for step in (1.0, -1.0):
        yield "one of the two lists counts voxels from 1, the other from 0", fixed, moving + step
    yield "x and y are exchanged in one of the two lists", fixed, moving[:, [1, 0, 2]]
    yield "x and z are exchanged in both lists", fixed[:, [2, 1, 0]], moving[:, [2, 1, 0]]


def _geometry(grids: Sequence[Grid], scan: Scan) -> str:
    """What is wrong when the voxels are right."""
    need = torch.tensor(scan.spacing_mm)
    for side, grid in zip(("fixed", "moving"), grids, strict=True):
        if not torch.allclose(torch.tensor(grid.spacing_mm), need, rtol=1e-3, atol=0):
            return f"the spacing of the {side} image is {_words(grid.spacing_mm)}, published {_words(scan.spacing_mm)}"
    return "the two images have different origins or axes"


def _words(spacing_mm: Triple) -> str:
    return " x ".join(f"{s:.4g}" for s in spacing_mm) + " mm"
