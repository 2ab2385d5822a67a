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
from graphreg.core.records import CostVolume, DenseField, ImagePair, Keypoints, Landmarks, Motion
from graphreg.interpolation.thin_plate import interpolate
from graphreg.phantom.breaths import waves
from graphreg.phantom.known_pairs import KnownPair
from graphreg.pipeline import observe
from graphreg.runtime.monitor import Monitor
from graphreg.scene import Scene, find_masks, open_scene
from graphreg.training.samples import Sample

QUERIES = 2500  # points at which a motion is judged
TEACHER = "mean-field"  # goes on from level to level: no weights are needed to make samples
JUDGES = 800  # such points of a pair of which nothing is known: each has a cube of costs
JITTER = 0.15  # of a level's step: height of the waves by which its start is off, at most
STEPS = 30  # of the search for what is left of a motion, whatever its Jacobian between 0.3 and 3


def samples_of(known: KnownPair, config: RegistrationConfig, rng: np.random.Generator) -> Iterator[Sample]:
    """One sample per level, each as the levels before leave the motion, and a little worse."""
    scene = _open(known.pair, config)
    lungs_mm = mask_points_mm(scene.fixed_mask, scene.fixed_grid)
    for level, motion, costs in _levels(scene, rng):
        drawn = lungs_mm[torch.from_numpy(rng.integers(len(lungs_mm), size=QUERIES))]
        query_mm = torch.cat((costs.keypoints.points_mm.to(drawn), drawn))
        yield Sample(level.name, costs, query_mm, left_over(motion, known.motion(query_mm), query_mm))


def samples_of_real(
    pair: ImagePair, landmarks: Landmarks | None, config: RegistrationConfig, rng: np.random.Generator
) -> Iterator[Sample]:
    """The same of a pair of which landmarks are known, or nothing: then points of the lung get costs of their own."""
    scene = _open(pair, config)
    lungs_mm = mask_points_mm(scene.fixed_mask, scene.fixed_grid)
    for level, motion, costs in _levels(scene, rng):
        if landmarks:
            fixed_mm = landmarks.fixed_mm.to(lungs_mm)
            left = left_over(motion, landmarks.moving_mm.to(lungs_mm), fixed_mm)
            yield Sample(level.name, costs, fixed_mm, left)
        else:
            points = Keypoints(lungs_mm[torch.from_numpy(rng.integers(len(lungs_mm), size=JUDGES))])
            seen = observe(motion, level, scene, points)[0]
            yield Sample(level.name, costs, points.points_mm, None, seen.costs)


def _open(pair: ImagePair, config: RegistrationConfig) -> Scene:
    monitor = Monitor(1, pair.fixed.data.device)
    return open_scene(pair, find_masks(pair, config, monitor), config, monitor)


def _levels(scene: Scene, rng: np.random.Generator) -> Iterator[tuple[LevelConfig, Motion, CostVolume]]:
    """Each level with the motion that it starts from and the costs that it sees."""
    motion: Motion = scene.start
    for level in scene.config.levels:
        motion = compose(motion, _jitter(level, scene.field_grid, rng))
        costs, graph = observe(motion, level, scene)
        yield level, motion, costs
        displacements = level.regulariser(TEACHER)(costs, graph)
        motion = compose(motion, interpolate(displacements, scene.field_grid, level.spline))


def left_over(motion: Motion, goal_mm: Tensor, points_mm: Tensor) -> Tensor:
    """Displacements u (N, 3) with motion(p + u) = goal: what a level that starts from the motion should find."""
    return pull_back(motion, goal_mm, points_mm, STEPS) - points_mm


def _jitter(level: LevelConfig, grid: Grid, rng: np.random.Generator) -> DenseField:
    """A small smooth motion."""
    coarse = grid.with_spacing(8.0)
    points_mm = coarse.points_mm(torch.zeros((), dtype=torch.float64)).reshape(-1, 3)
    motion_mm = waves(rng, points_mm, rng.uniform(0, JITTER) * level.costs.step_mm)
    rough = motion_mm.T.reshape(3, *coarse.shape).float()
    return DenseField(grid, transfer(rough, coarse, grid, (linear,) * 3))
