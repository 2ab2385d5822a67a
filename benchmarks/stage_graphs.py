"""Stages of keypoints and their graph beside their references: see ``runtime.py``."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from references import mean_field_by_softmax, messages_by_trial, spline_by_solve
from stage_bench import Bench, Row

from graphreg import PRESETS
from graphreg.core.cubes import label_grid
from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.interpolation.thin_plate import ThinPlate
from graphreg.matching.graph import NearestNeighbours
from graphreg.regularisers import BeliefPropagation, MeanField
from graphreg.regularisers.belief_propagation import min_convolution

EXTENT_MM = (300.0, 230.0, 300.0)  # of two lungs


def problem(bench: Bench, count: int, side: int, step_mm: float) -> tuple[CostVolume, KeypointGraph]:
    """Noisy costs with a minimum that moves smoothly from keypoint to keypoint, and their graph."""
    points = bench.scattered(count, EXTENT_MM)
    labels = label_grid(side // 2 * step_mm, step_mm)
    true_mm = 12 * torch.sin(points.points_mm / 60)
    gap = ((torch.arange(side, device=bench.device) - side // 2) * step_mm - true_mm[..., None]).square()
    squared = gap[:, 2, :, None, None] + gap[:, 1, None, :, None] + gap[:, 0, None, None]
    costs = 0.04 * (1 - torch.exp(squared / -100)) + 0.01 * bench.random(*squared.shape)
    return CostVolume(points, labels, costs), NearestNeighbours()(points)


def mean_fields(bench: Bench) -> Iterator[Row]:
    """Both sizes of the cube of labels."""
    for count, side, step_mm in ((2048, 13, 3.0), (2048, 29, 2.5)):
        yield mean_field(bench, *problem(bench, bench.some(count, 60), bench.some(side, side // 4 * 2 + 1), step_mm))


def mean_field(bench: Bench, volume: CostVolume, graph: KeypointGraph) -> Row:
    """With the sweeps of the level coarse."""
    (level,) = (level for level in PRESETS["inhale-exhale"].levels if level.name == "coarse")
    regulariser = level.with_regulariser("mean-field").regulariser
    assert isinstance(regulariser, MeanField)
    return bench.beside(
        f"mean field, {len(volume.keypoints)} x {volume.labels.shape[0]}^3",
        lambda: regulariser(volume, graph).vectors_mm,
        lambda: mean_field_by_softmax(volume, graph, regulariser),
        unit="mm",
    )


def propagations(bench: Bench) -> Iterator[Row]:
    """The sizes of three levels."""
    for count, side, step_mm in ((2048, 13, 3.0), (3072, 13, 1.5), (2048, 29, 2.5)):
        yield propagation(bench, *problem(bench, bench.some(count, 60), bench.some(side, side // 4 * 2 + 1), step_mm))


def propagation(bench: Bench, volume: CostVolume, graph: KeypointGraph) -> Row:
    """All of belief propagation beside its messages alone, two per keypoint, some of which are compared."""
    few = 200 * volume.costs[: bench.some(64, 4)]
    weights = 0.05 + bench.random(len(few))
    seconds, _ = bench.timed(lambda: BeliefPropagation()(volume, graph))
    row = bench.beside(
        f"belief propagation, {len(volume.keypoints)} x {volume.labels.shape[0]}^3",
        lambda: min_convolution(few, weights),
        lambda: messages_by_trial(few, weights),
        (len(few), 2 * len(volume.keypoints)),
    )
    return replace(row, seconds=seconds)


def splines(bench: Bench) -> Iterator[Row]:
    """With the lattices of the wide levels and of the finest; it accounts for the difference."""
    for count, lattice_mm in ((3072, 6.0), (4096, 4.0)):
        yield spline(bench, bench.some(count, 60), ThinPlate(lattice_mm=lattice_mm))


def spline(bench: Bench, count: int, config: ThinPlate) -> Row:
    """A field of 2 mm, the reference at some of its voxels."""
    grid = Grid.covering(torch.tensor([[0.0, 0.0, 0.0], EXTENT_MM]), bench.some(2, 10))
    points = bench.scattered(count, EXTENT_MM)
    vectors = 10 * torch.sin(points.points_mm / 40) + 0.2 * bench.random(count, 3)
    motion = Displacements(points, vectors, 0.1 + 0.9 * bench.random(count))
    every = bench.some(100, 10)
    where = grid.points_mm(vectors).reshape(-1, 3)[::every].double()
    solve_s, solved = bench.timed(lambda: spline_by_solve(motion, config), 1)
    row = bench.beside(
        f"spline, {count} knots, lattice {config.lattice_mm:g} mm",
        lambda: config(motion, grid).displacement_mm.flatten(1)[:, ::every].T,
        lambda: torch.cat([solved(part) for part in where.split(4096)]),
        (len(where), grid.voxels),
        unit="mm",
    )
    return replace(row, reference_s=row.reference_s + solve_s)
