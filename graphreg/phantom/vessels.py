"""Arteries, veins and airways that fill the lungs.

A tree grows by halving the set of points that it supplies and stepping towards the middle of each half (Tawhai,
Pullan, Hunter 2000). Radii follow Murray's law r^3 ~ number of points supplied.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphreg.phantom.thorax import Thorax

Array = NDArray[np.float64]
MURRAY = 0.27  # exponent of the radius in the number of end points; a third by Murray's law, less in lungs


@dataclass(frozen=True, eq=False)
class Tree:
    """Branches from start to end, curved so that they leave in the direction of their parent."""

    start_mm: Array  # (S, 3)
    bend_mm: Array  # (S, 3) middle control point of the quadratic curve
    end_mm: Array  # (S, 3)
    supply: Array  # (S,) number of end points downstream


@dataclass(frozen=True, eq=False)
class Tubes:
    """Balls strung along the centre lines."""

    points_mm: Tensor  # (N, 3)
    radius_mm: Tensor  # (N,)


@dataclass(frozen=True, eq=False)
class Plumbing:
    """What is drawn into lung and mediastinum."""

    blood: Tubes
    airways: Tubes  # the lumen
    branchings_mm: Array  # (B, 3) of vessels of middle size


def draw_plumbing(rng: np.random.Generator, thorax: Thorax, spacing_mm: float, thinnest_mm: float) -> Plumbing:
    """Vessels with end points about ``spacing_mm`` apart, per tree, and the airways beside the arteries."""
    hilum = thorax.hilum_mm
    arteries: list[Tree] = []
    veins: list[Tree] = []
    for side in (-1.0, 1.0):
        for trees, root in ((arteries, (side * 24, 4.0, hilum + 6)), (veins, (side * 22, -4.0, hilum - 16))):
            targets = _targets(rng, thorax, side, spacing_mm)
            trees.append(grow(np.array(root), np.array([side, 0, 0]), targets, _lobes(thorax, targets)))
    blood = [string(tree, thinnest_mm * tree.supply**MURRAY) for tree in (*arteries, *veins)]
    branchings = [tree.end_mm[(tree.supply >= 5) & (tree.supply <= 400)] for tree in (*arteries, *veins)]
    airways = [beside(tree, thinnest_mm * tree.supply**MURRAY) for tree in arteries]
    return Plumbing(_join(blood), _join([*airways, *_windpipe(thorax)]), np.concatenate(branchings))


def grow(root: Array, direction: Array, targets: Array, groups: NDArray[np.int64]) -> Tree:
    """Tree from a root (3,) to every target (N, 3); the first branches go to the given groups (N,)."""
    parts: list[tuple[Array, Array, Array, Array]] = []
    labels, groups = np.unique(groups, return_inverse=True)
    at = np.repeat(root[None], len(labels), 0)
    heading = np.repeat(direction[None], len(labels), 0)
    while len(targets):
        supply = np.bincount(groups).astype(float)
        centre = _sums(groups, targets) / supply[:, None]
        reach = np.where(supply == 1, 1.0, 0.5 - 0.29 * np.minimum(np.log(supply) / np.log(300), 1))[:, None]
        end = at + reach * (centre - at)
        bend = at + 0.3 * heading * np.linalg.norm(end - at, axis=1, keepdims=True)
        parts.append((at, bend, end, supply))
        heading = _unit(end - bend)

        going = supply[groups] > 1
        targets, groups = targets[going], groups[going]
        halves = 2 * groups + _upper_half(targets, groups, centre, heading)
        labels, groups = np.unique(halves, return_inverse=True)
        at, heading = end[labels // 2], heading[labels // 2]
    start, bend, end, supply = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Tree(start, bend, end, supply)


def _upper_half(targets: Array, groups: NDArray[np.int64], centre: Array, heading: Array) -> NDArray[np.bool_]:
    """Which targets (N,) lie beyond their group's middle, along its widest direction away from the heading."""
    offset = targets - centre[groups]
    offset_across = offset - 0.6 * heading[groups] * (offset * heading[groups]).sum(1, keepdims=True)
    spread = _sums(groups, (offset_across[:, :, None] * offset_across[:, None]).reshape(-1, 9), len(centre))
    widest = np.linalg.eigh(spread.reshape(-1, 3, 3))[1][:, :, -1]
    return (offset * widest[groups]).sum(1) > 0


def string(tree: Tree, radius_mm: Array) -> Tubes:
    """Balls along every branch, close enough to look like a tube."""
    length = np.linalg.norm(tree.end_mm - tree.start_mm, axis=1)
    count = np.ceil(length / np.maximum(0.7, 0.4 * radius_mm)).astype(int) + 1
    branch = np.repeat(np.arange(len(count)), count)
    step = np.arange(len(branch)) - np.repeat(np.cumsum(count) - count, count)
    t = (step / count[branch])[:, None]
    start, bend, end = (points[branch] for points in (tree.start_mm, tree.bend_mm, tree.end_mm))
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    return Tubes(torch.as_tensor(points), torch.as_tensor(radius_mm[branch]))


def beside(tree: Tree, radius_mm: Array, least: int = 80) -> Tubes:
    """Airways next to the arteries that supply at least so many end points."""
    wide = tree.supply >= least
    along = _unit(tree.end_mm - tree.start_mm)
    across = np.array([0.0, 0.6, 0.8]) - along * (along @ np.array([0.0, 0.6, 0.8]))[:, None]
    shift = _unit(across) * (1.8 * radius_mm + 0.8)[:, None]
    start, bend, end = (points[wide] + shift[wide] for points in (tree.start_mm, tree.bend_mm, tree.end_mm))
    shifted = Tree(start, bend, end, tree.supply[wide])
    return string(shifted, np.minimum(0.7 * radius_mm[wide], 5.5))


def _windpipe(thorax: Thorax) -> list[Tubes]:
    """Trachea and main bronchi."""
    carina = np.array([1.0, 9.0, thorax.hilum_mm + 26])
    ends = [np.array([side * 40, 14.0, thorax.hilum_mm + 4 - 4 * side]) for side in (-1.0, 1.0)]
    start = np.stack([carina + [0, -6, 160], carina, carina])
    end = np.stack([carina, *ends])
    bend = (start + end) / 2 + np.array([[2.0, 4, 0], [0, 0, 3], [0, 0, 3]])
    return [string(Tree(start, bend, end, np.ones(3)), np.array([8.5, 6.8, 6.3]))]


def _targets(rng: np.random.Generator, thorax: Thorax, side: float, spacing_mm: float) -> Array:
    """Jittered lattice (N, 3) inside one lung."""
    wide, deep, high = thorax.half_width_mm, thorax.half_depth_mm, thorax.apex_mm
    axes = [np.arange(low, top, spacing_mm) for low, top in ((0, wide), (-deep, deep), (-1.5 * high, high))]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    points = (points + rng.uniform(0, spacing_mm, points.shape)) * [side, 1, 1]
    inside: NDArray[np.bool_] = (thorax.lung(torch.as_tensor(points)) < -2).numpy()
    return points[inside]


def _lobes(thorax: Thorax, points: Array) -> NDArray[np.int64]:
    lobes: NDArray[np.int64] = thorax.lobe(torch.as_tensor(points)).numpy()
    return lobes


def _join(tubes: list[Tubes]) -> Tubes:
    return Tubes(torch.cat([t.points_mm for t in tubes]), torch.cat([t.radius_mm for t in tubes]))


def _sums(groups: NDArray[np.int64], values: Array, count: int = 0) -> Array:
    """Sum of the rows (N, C) of each group."""
    return np.stack([np.bincount(groups, column, count) for column in values.T], -1)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
