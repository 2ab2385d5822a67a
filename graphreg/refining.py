"""Stage 7 put to work: the objective that the settings name, its descent, and the motion that results."""

from dataclasses import replace

from torch import Tensor

from graphreg.config import RefinementConfig
from graphreg.core.fields import compose
from graphreg.core.records import CostVolume, DenseField, Displacements, FeatureVolume, KeypointGraph, Volume
from graphreg.core.resampling import identity, resample, resample_mask
from graphreg.features.mind_ssc import describe
from graphreg.features.normalised import normalise
from graphreg.refinement import CostCubes, FeatureDifference
from graphreg.refinement.descent import descend
from graphreg.scene import Scene

Trace = tuple[float, ...]  # of the objective, from the start on
CONTRAST_HU = 100.0  # of intensities compared as they are: so large a difference counts as one


def refine_keypoints(
    found: Displacements, costs: CostVolume, graph: KeypointGraph, config: RefinementConfig, seed: int
) -> tuple[Displacements, Trace]:
    """Displacements of the keypoints between the labels of their cubes."""
    objective = CostCubes(costs, graph, found, config.costs)
    done = descend(objective, objective.start(), config.descent, seed)
    return replace(found, vectors_mm=done.parameters), done.trace


def refine_field(motion: DenseField, config: RefinementConfig, scene: Scene, seed: int) -> tuple[DenseField, Trace]:
    """The motion composed with what the images still show in the lungs."""
    grid = scene.working_grid(config.spacing_mm)
    images = scene.prepared(config.spacing_mm)
    lungs = scene.fixed_lungs(grid)
    moved_lungs = resample_mask(scene.moving_mask, scene.moving_grid, grid, motion)
    fixed = _features(resample(images[0], grid, identity), lungs, config)
    moving = _features(resample(images[1], grid, motion), moved_lungs, config)
    objective = FeatureDifference(fixed, moving, lungs, config.features)
    done = descend(objective, objective.start(), config.descent, seed)
    return compose(motion, objective.field(done.parameters, scene.field_grid)), done.trace


def _features(image: Volume, lungs: Tensor, config: RefinementConfig) -> FeatureVolume:
    if config.metric == "mind":
        return describe(image, config.descriptors)
    if config.metric == "mse":
        return FeatureVolume(image.grid, image.data[None] / CONTRAST_HU)
    return normalise(image, lungs, config.normalisation)
