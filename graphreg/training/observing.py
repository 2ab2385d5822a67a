"""Samples of a pair: its levels one after the other, as a registration meets them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from graphreg.config import LevelConfig, RegistrationConfig
from graphreg.core.fields import compose
from graphreg.core.grid import Grid, mask_points_mm
from graphreg.core.inversion import pull_back
from graphreg.core.lattice import linear, transfer
from graphreg.core.prepared import PreparedPair
from graphreg.core.records import CostVolume, DenseField, ImagePair, Keypoints, Landmarks, Motion
from graphreg.phantom.breaths import waves
from graphreg.phantom.known_pairs import KnownPair
from graphreg.pipeline import find_regions, observe, prealign
from graphreg.runtime.monitor import Monitor
from graphreg.training.samples import Sample

QUERIES = 2500  # points at which a motion is judged
TEACHER = "mean-field"  # goes on from level to level: no weights are needed to make samples
JUDGES = 800  # such points of a pair of which nothing is known: each has a cube of costs
JITTER = 0.15  # of a level's step: height of the waves by which its start is off, at most
STEPS = 30  # of the search for what is left of a motion, whatever its Jacobian between 0.3 and 3

Observed = tuple[LevelConfig, Motion, CostVolume]  # a level, the motion that it starts from, the costs that it sees


def samples_of(known: KnownPair, config: RegistrationConfig, rng: np.random.Generator) -> Iterator[Sample]:
    """One sample per level, each as the levels before leave the motion, and a little worse."""
    monitor = Monitor(1, known.pair.fixed.data.device)
    pair = _prepared(known.pair, config, monitor)
    region_mm = mask_points_mm(pair.fixed_mask, pair.fixed_grid)
    for level, motion, costs in _levels(pair, config, monitor, rng):
        drawn = region_mm[torch.from_numpy(rng.integers(len(region_mm), size=QUERIES))]
        query_mm = torch.cat((costs.keypoints.points_mm.to(drawn), drawn))
        yield Sample(level.name, costs, query_mm, left_over(motion, known.motion(query_mm), query_mm))


def samples_of_real(
    images: ImagePair, landmarks: Landmarks | None, config: RegistrationConfig, rng: np.random.Generator
) -> Iterator[Sample]:
    """The same of a pair of which landmarks are known, or nothing: then points of the region get costs of their own."""
    monitor = Monitor(1, images.fixed.data.device)
    pair = _prepared(images, config, monitor)
    region_mm = mask_points_mm(pair.fixed_mask, pair.fixed_grid)
    for level, motion, costs in _levels(pair, config, monitor, rng):
        if landmarks:
            fixed_mm = landmarks.fixed_mm.to(region_mm)
            left = left_over(motion, landmarks.moving_mm.to(region_mm), fixed_mm)
            yield Sample(level.name, costs, fixed_mm, left)
        else:
            points = Keypoints(region_mm[torch.from_numpy(rng.integers(len(region_mm), size=JUDGES))])
            seen = observe(motion, level, pair, monitor, points)[0]
            yield Sample(level.name, costs, points.points_mm, None, seen.costs)


def _prepared(images: ImagePair, config: RegistrationConfig, monitor: Monitor) -> PreparedPair:
    return prealign(find_regions(images, config.anatomy, monitor), config, monitor)


def _levels(
    pair: PreparedPair, config: RegistrationConfig, monitor: Monitor, rng: np.random.Generator
) -> Iterator[Observed]:
    motion: Motion = pair.start
    for level in config.with_regulariser(TEACHER).levels:
        motion = compose(motion, _jitter(level, pair.field_grid, rng))
        costs, graph = observe(motion, level, pair, monitor)
        yield level, motion, costs
        motion = compose(motion, level.interpolator(level.regulariser(costs, graph), pair.field_grid))


def left_over(motion: Motion, goal_mm: Tensor, points_mm: Tensor) -> Tensor:
    """Displacements u (N, 3) with motion(p + u) = goal: what a level that starts from the motion should find."""
    return pull_back(motion, goal_mm, points_mm, STEPS) - points_mm


def _jitter(level: LevelConfig, grid: Grid, rng: np.random.Generator) -> DenseField:
    """A small smooth motion."""
    coarse = grid.with_spacing(8.0)
    points_mm = coarse.points_mm(torch.zeros((), dtype=torch.float64)).reshape(-1, 3)
    motion_mm = waves(rng, points_mm, rng.uniform(0, JITTER) * level.matcher.step_mm)
    rough = motion_mm.T.reshape(3, *coarse.shape).float()
    return DenseField(grid, transfer(rough, coarse, grid, (linear,) * 3))
