"""Excerpts of samples, as the network is shown them: some keypoints that lie together, turned, mirrored and stirred.

Tissue and descriptors know no left and right: the six orders of the axes and their eight reflections are as many
samples. A keypoint whose costs are shifted is one that moved further: so any motion can be made of one that was seen,
the more and less smooth ones of all patients from the few at hand.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from graphreg.core.cubes import costs_at, label_steps
from graphreg.core.records import Keypoints
from graphreg.matching import NearestNeighbours
from graphreg.training.samples import Sample

MARGIN = 0.9  # of an excerpt's radius: points beyond it are not judged, they lack neighbours
QUERIES = 500  # points that are judged at once
NEIGHBOURS = (8, 20)  # range of k
CONTRAST = (0.8, 1.25)  # range of a factor on all costs: another scanner
STIRRED = 0.95  # share of the excerpts in which places are moved apart from the rest
PLACES = (10, 100)  # range of how many
WIDTH_MM = (3.0, 20.0)  # range of their sizes
REACH = (0.5, 6.0)  # range of how far, in label steps
THINNED = 0.5  # least share of the keypoints that is left


class Excerpt(NamedTuple):
    """Part of a sample."""

    costs: Tensor  # (n, L, L, L)
    points_mm: Tensor  # (n, 3)
    edge_index: Tensor  # (2, E)
    step_mm: float
    query_mm: Tensor  # (m, 3)
    target_mm: Tensor | None  # (m, 3)
    query_costs: Tensor | None  # (m, L, L, L)


def excerpt(sample: Sample, count: int, generator: torch.Generator) -> Excerpt:
    """``count`` keypoints around one of them, or all where there are no more, and points to judge among them."""
    points_mm = sample.costs.keypoints.points_mm
    share = 1 - (1 - THINNED) * max(_uniform(generator, -1, 1), 0)
    kept = torch.randperm(len(points_mm), generator=generator)[: math.ceil(share * len(points_mm))].to(points_mm.device)
    centre = points_mm[kept[0]]
    distance = (points_mm[kept] - centre).norm(dim=1)
    nearest = distance.argsort()[:count]
    reach = float(distance[nearest[-1]]) if len(nearest) == count else math.inf
    kept = kept[nearest]
    judged = ((sample.query_mm - centre).norm(dim=1) <= MARGIN * reach).nonzero()[:, 0]
    judged = judged[torch.randperm(len(judged), generator=generator)[:QUERIES].to(judged.device)]
    k = int(torch.randint(*NEIGHBOURS, (1,), generator=generator))
    graph = NearestNeighbours(neighbours=min(k, len(kept) - 1))(Keypoints(points_mm[kept]))
    part = Excerpt(
        sample.costs.costs[kept].float() * math.exp(_uniform(generator, *map(math.log, CONTRAST))),
        points_mm[kept].float(),
        graph.edge_index,
        sample.costs.step_mm,
        sample.query_mm[judged].float(),
        None if sample.target_mm is None else sample.target_mm[judged].float(),
        None if sample.query_costs is None else sample.query_costs[judged].float(),
    )
    order = torch.randperm(3, generator=generator).tolist()
    mirrored = (torch.rand(3, generator=generator) < 0.5).tolist()
    part = turned(part, order, mirrored)
    return stirred(part, generator) if _uniform(generator, 0, 1) < STIRRED else part


def turned(part: Excerpt, order: list[int], mirrored: list[bool]) -> Excerpt:
    """The excerpt in axes that are those of ``order`` (of x, y, z), then mirrored where so said."""
    sign = part.points_mm.new_tensor([-1.0 if m else 1.0 for m in mirrored])
    flipped = [3 - axis for axis in range(3) if mirrored[axis]]  # arrays are (z, y, x) behind the keypoints

    def vectors(v: Tensor) -> Tensor:
        return v[:, order] * sign

    def cubes(c: Tensor) -> Tensor:
        return c.permute(0, *(3 - order[2 - axis] for axis in range(3))).flip(flipped).contiguous()

    return part._replace(
        costs=cubes(part.costs),
        points_mm=vectors(part.points_mm),
        query_mm=vectors(part.query_mm),
        target_mm=None if part.target_mm is None else vectors(part.target_mm),
        query_costs=None if part.query_costs is None else cubes(part.query_costs),
    )


def stirred(part: Excerpt, generator: torch.Generator) -> Excerpt:
    """The excerpt as if places in it, small and large, had moved apart from the rest."""
    count = int(torch.randint(*PLACES, (1,), generator=generator))
    where = part.points_mm[torch.randint(len(part.points_mm), (count,), generator=generator).to(part.points_mm.device)]
    widths = torch.rand(count, generator=generator).to(where) * math.log(WIDTH_MM[1] / WIDTH_MM[0])
    widths = WIDTH_MM[0] * widths.exp()
    reach = part.step_mm * math.exp(_uniform(generator, *map(math.log, REACH)))
    pulls = torch.randn(count, 3, generator=generator).to(where) * reach

    def motion(points_mm: Tensor) -> Tensor:
        return torch.exp(-(torch.cdist(points_mm, where) / widths).square() / 2) @ pulls

    judged = motion(part.query_mm)
    return part._replace(
        costs=shifted(part.costs, motion(part.points_mm) / part.step_mm),
        target_mm=None if part.target_mm is None else part.target_mm + judged,
        query_costs=None if part.query_costs is None else shifted(part.query_costs, judged / part.step_mm),
    )


def shifted(costs: Tensor, shift: Tensor) -> Tensor:
    """Costs (n, L, L, L) of points that moved further by (n, 3) label steps, trilinear; the border goes on."""
    axis = label_steps(costs, 1.0)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    where = torch.stack((x, y, z), -1).reshape(-1, 3) - shift[:, None]
    return costs_at(costs, where).reshape(costs.shape)


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
