"""The lines of the algorithm.  ImagePair -> Registration

Every level looks at the moving image through the motion found so far, on an isotropic working grid around the fixed
lungs, and composes what is left: T_new(x) = T(x + u(x)).
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphreg.anatomy.lung_ct.doubts import Doubt, doubts
from graphreg.assessment import assess
from graphreg.config import LevelConfig, RefinementConfig, RegistrationConfig
from graphreg.config import preset as named_preset
from graphreg.core.fields import compose
from graphreg.core.grid import Grid
from graphreg.core.inversion import inconsistency_mm, invert, meet
from graphreg.core.records import (
    CostVolume,
    DenseField,
    Displacements,
    ImagePair,
    KeypointGraph,
    Keypoints,
    Motion,
    Quality,
    Volume,
)
from graphreg.core.resampling import AIR_HU, identity, resample
from graphreg.core.unfolding import unfold
from graphreg.features.mind_ssc import describe
from graphreg.interpolation.thin_plate import interpolate
from graphreg.matching.cost_volume import compare
from graphreg.matching.graph import connect
from graphreg.refining import Trace, refine_field, refine_keypoints
from graphreg.runtime.chunks import in_smaller_parts
from graphreg.runtime.devices import choose_device, to_device
from graphreg.runtime.monitor import Monitor, Progress, StageCost
from graphreg.sampling.foerstner import detect
from graphreg.scene import MARGIN_MM, Scene, about, find_masks, open_scene


@dataclass(frozen=True, eq=False)
class Registration:
    """The result: a map of fixed to moving points and what is known about it."""

    field: DenseField
    keypoints: Displacements  # of the last level, with their whole motion fixed -> moving
    fixed_grid: Grid
    config: RegistrationConfig
    quality: Quality
    backward: DenseField | None  # the inverse, moving -> fixed, of symmetric registrations
    traces: dict[str, Trace]  # of the objective of each pass of the refinement
    stages: dict[str, StageCost]  # seconds and memory of each
    device: str
    seed: int
    parts: int = 1  # so many times smaller than usual were those of the work, for want of memory of the GPU

    def warp(self, volume: Volume, labels: bool = False) -> Volume:
        """A volume in the moving image's space, resampled on the fixed grid; labels take the nearest value."""
        outside = 0.0 if labels else AIR_HU
        return resample(volume, self.fixed_grid, self.field, outside=outside, nearest=labels)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Why the result should not be trusted; empty where nothing speaks against it."""
        return doubts(self.quality)

    def account(self) -> dict[str, Any]:
        """What a record tells of it: device, parts, stages (seconds, memory), keypoints, quality, traces."""
        return {
            "device": self.device,
            "parts": self.parts,
            "stages": {name: asdict(cost) for name, cost in self.stages.items()},
            "keypoints": len(self.keypoints.keypoints),
            "quality": asdict(self.quality),
            "trustworthy": not self.doubts,
            "warnings": [asdict(doubt) for doubt in self.doubts],
            "refinement": self.traces,
        }


def register(
    pair: ImagePair,
    preset: str = "inhale-exhale",
    *,
    config: RegistrationConfig | None = None,
    regulariser: str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> Registration:
    """Motion from the fixed to the moving image, in mm.

    Args:
        pair: two scans of one patient in HU; lung masks that it lacks are found automatically.
        preset: name of the settings, see ``graphreg.PRESETS``; ``config`` takes their place where it is given.
        regulariser: name of the regulariser in place of the one of the settings.
        device: ``auto``, ``cpu``, ``cuda`` or, of several GPUs, ``cuda:1``.
        seed: of the points that a refinement looks at; recorded with the result.
        progress: called with the name of each stage as it starts and the share of the run that is done.

    Raises:
        InputError: unknown preset, regulariser or device; a mask too small for 50 keypoints.
        LungsNotFoundError: no mask is given and no lung is found.
    """
    config = config or named_preset(preset)
    config = replace(config, regulariser=regulariser) if regulariser else config
    target = choose_device(device)
    steps = 3 + (2 if config.symmetric else 1) * (1 + 6 * len(config.levels) + len(config.refinement))

    @torch.no_grad()
    def work() -> Registration:
        return _register(to_device(pair, target), config, Monitor(steps, target, progress), seed)

    done, parts = in_smaller_parts(work)
    return replace(done, parts=parts)


def _register(pair: ImagePair, config: RegistrationConfig, monitor: Monitor, seed: int) -> Registration:
    masks = find_masks(pair, config, monitor)
    scene = open_scene(pair, masks, config, monitor)
    field, keypoints, traces = _find_motion(scene, seed)
    backward, apart_mm = None, None
    if config.symmetric:
        backward, apart_mm = _look_back(field, pair, masks, scene, seed)
        field = meet(field, backward)
    with monitor.stage("unfolding"):
        field = unfold(field, scene.fixed_lungs(field.grid), config.smallest_jacobian)
        backward = backward and invert(field, backward.grid).field
    points_mm = keypoints.keypoints.points_mm
    keypoints = replace(keypoints, vectors_mm=field(points_mm) - points_mm)
    with monitor.stage("quality"):
        quality = assess(scene, pair, masks, field, apart_mm)
    return Registration(
        field=field,
        keypoints=keypoints,
        fixed_grid=pair.fixed.grid,
        config=config,
        quality=quality,
        backward=backward,
        traces=traces,
        stages=monitor.costs,
        device=monitor.device.type,
        seed=seed,
    )


def _look_back(
    forward: DenseField, pair: ImagePair, masks: tuple[Tensor, Tensor], scene: Scene, seed: int
) -> tuple[DenseField, float]:
    """The motion from the moving to the fixed image, and how far from the inverse of the other it is on average."""
    swapped = ImagePair(pair.moving, pair.fixed)
    backward = _find_motion(open_scene(swapped, (masks[1], masks[0]), scene.config, scene.monitor), seed)[0]
    apart_mm = inconsistency_mm(forward, backward, scene.fixed_mask, scene.fixed_grid)
    return backward, float(apart_mm.mean())


def _find_motion(scene: Scene, seed: int) -> tuple[DenseField, Displacements, dict[str, Trace]]:
    """Stages 1 to 7: the motion, the displacements of the last level and the traces of the refinement."""
    start: Motion = scene.start
    passes = {name: [r for r in scene.config.refinement if r.objective == name] for name in ("costs", "features")}
    for level in scene.config.levels:
        last = level is scene.config.levels[-1]
        motion, found, traces = _run_level(start, level, scene, passes["costs"] if last else [], seed)
        start = motion
    for config in passes["features"]:
        with scene.monitor.stage("refinement"):
            motion, traces[config.name] = refine_field(motion, config, scene, seed)
    return motion, found, traces


def _run_level(
    motion: Motion, level: LevelConfig, scene: Scene, passes: list[RefinementConfig], seed: int
) -> tuple[DenseField, Displacements, dict[str, Trace]]:
    """Stages 1 to 6 on one working grid: the motion so far, composed with what is left of it."""
    stage = scene.monitor.stage
    costs, graph = observe(motion, level, scene)
    traces = {}
    with stage("regulariser"):
        found = level.regulariser(scene.config.regulariser)(costs, graph)
    for config in passes:
        with stage("refinement"):
            found, traces[config.name] = refine_keypoints(found, costs, graph, config, seed)
    del costs
    with stage("spline"):
        left = interpolate(found, scene.field_grid, level.spline)
        return compose(motion, left), found, traces


def observe(
    motion: Motion, level: LevelConfig, scene: Scene, keypoints: Keypoints | None = None
) -> tuple[CostVolume, KeypointGraph]:
    """Stages 1 to 4 on one working grid: what the images say of the motion that is left, keypoint by keypoint.

    Keypoints may be given in place of those that are detected.
    """
    stage = scene.monitor.stage
    grid = scene.working_grid(level.spacing_mm, wide=level.costs.radius_mm > MARGIN_MM)
    with stage("keypoints"), about("fixed image"):
        fixed = resample(scene.prepared(level.spacing_mm)[0], grid, identity)
        mask = scene.fixed_lungs(grid)
        keypoints = keypoints or detect(fixed, mask, level.keypoints)
    with stage("descriptors"):
        fixed_features = describe(fixed, level.descriptors)
        del fixed  # the descriptors of both images are most of the memory of a run
        moving = resample(scene.prepared(level.spacing_mm)[1], grid, motion)
        moving_features = describe(moving, level.descriptors)
        del moving
    with stage("cost volume"):
        costs = compare(fixed_features, moving_features, keypoints, level.costs, weights=mask)
        del fixed_features, moving_features
    with stage("graph"):
        graph = connect(keypoints, level.graph)
    return costs, graph
