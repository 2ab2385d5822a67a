"""The lines of the algorithm.  ImagePair -> Registration

Every level looks at the moving image through the motion found so far, on an isotropic working grid around the fixed
region, and composes what is left: T_new(x) = T(x + u(x)).
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from graphreg.analysis.assessment import assess
from graphreg.anatomy import Anatomy
from graphreg.anatomy.doubts import Doubt
from graphreg.config import LevelConfig, RegistrationConfig
from graphreg.core.affine import Affine
from graphreg.core.errors import InputError, blaming, exchanged
from graphreg.core.estimate import Estimate, Trace
from graphreg.core.fields import compose
from graphreg.core.figures import Quality
from graphreg.core.former import called_as_before
from graphreg.core.grid import Grid
from graphreg.core.interop import as_mask, as_volume
from graphreg.core.inversion import inconsistency_mm, inverse_consistent, invert
from graphreg.core.prepared import PreparedPair, prepare_pair
from graphreg.core.records import (
    CostVolume,
    DenseField,
    Displacements,
    ImagePair,
    KeypointGraph,
    Keypoints,
    Motion,
    Subject,
    Volume,
)
from graphreg.core.resampling import resample
from graphreg.core.unfolding import unfold
from graphreg.presets import preset as named_preset
from graphreg.runtime.chunks import in_smaller_parts
from graphreg.runtime.devices import choose_device, to_device
from graphreg.runtime.monitor import Monitor, Progress, StageCost


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
        outside = 0.0 if labels else self.config.anatomy.value_outside(volume)
        return resample(volume, self.fixed_grid, self.field, outside=outside, nearest=labels)

    def transform(self) -> Any:
        """The motion as a SimpleITK transform: ``TransformPoint`` takes fixed LPS mm points to the moving image."""
        from graphreg.io.transforms import to_transform

        return to_transform(self.field)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Why the result should not be trusted; empty where nothing speaks against it."""
        return self.config.anatomy.doubts(self.quality)

    def account(self) -> dict[str, Any]:
        """What a record tells of it: device, parts, stages (seconds, memory), keypoints, quality, traces."""
        return {
            "device": self.device,
            "parts": self.parts,
            "stages": {name: asdict(cost) for name, cost in self.stages.items()},
            "keypoints": len(self.keypoints.keypoints),
            "quality": self.quality.figures(),
            "trustworthy": not self.doubts,
            "warnings": [asdict(doubt) for doubt in self.doubts],
            "refinement": self.traces,
        }


@called_as_before
def register(
    fixed: Any,
    moving: Any = None,
    *,
    fixed_mask: Any = None,
    moving_mask: Any = None,
    preset: str = "inhale-exhale",
    config: RegistrationConfig | None = None,
    regulariser: str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> Registration:
    """Motion from the fixed to the moving image, in mm.

    Args:
        fixed: an ``ImagePair``; or the fixed image (of SimpleITK, nibabel, MONAI, TorchIO) with the others beside it.
        preset: name of the settings, see ``graphreg.PRESETS``; ``config`` takes their place where it is given.
        regulariser: name of that of every level; device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` of several GPUs.
        seed: of the points that a refinement looks at; recorded with the result.
        progress: called with the name of each stage as it starts and the share of the run that is done.

    Raises:
        InputError: unknown preset, regulariser or device; images beside a pair; no region; fewer than 50 keypoints.
    """
    pair = _as_pair(fixed, moving, fixed_mask, moving_mask)
    config = config or named_preset(preset)
    config = config.with_regulariser(regulariser) if regulariser else config
    target = choose_device(device)
    steps = 3 + (1 + config.symmetric) * (1 + 6 * len(config.levels) + len(config.refinement))

    @torch.no_grad()
    def work() -> Registration:
        return _register(to_device(pair, target), config, Monitor(steps, target, progress), seed)

    done, parts = in_smaller_parts(work)
    return replace(done, parts=parts)


def _as_pair(fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any) -> ImagePair:
    if isinstance(fixed, ImagePair):
        if any(given is not None for given in (moving, fixed_mask, moving_mask)):
            raise InputError("an ImagePair alone needed, with its masks in it, another image or mask beside it found")
        return fixed
    sides = []
    for side, image, mask in (("fixed", fixed, fixed_mask), ("moving", moving, moving_mask)):
        with blaming(side):
            volume = as_volume(image)
            sides.append((volume, None if mask is None else as_mask(mask, volume.grid)))
    return ImagePair(sides[0][0], sides[1][0], sides[0][1], sides[1][1])


def _register(pair: ImagePair, config: RegistrationConfig, monitor: Monitor, seed: int) -> Registration:
    subjects = find_regions(pair, config.anatomy, monitor)
    prepared = prealign(subjects, config, monitor)
    estimate, traces = estimate_motion(prepared, config, monitor, seed)
    field, backward, apart_mm = estimate.motion, None, None
    if config.symmetric:
        with exchanged():
            swapped = prealign((subjects[1], subjects[0]), config, monitor)
            backward = estimate_motion(swapped, config, monitor, seed)[0].motion
        apart_mm = float(inconsistency_mm(field, backward, prepared.fixed_mask, prepared.fixed_grid).mean())
        field = inverse_consistent(field, backward)
    with monitor.stage("unfolding"):
        field = unfold(field, prepared.fixed_region(field.grid), config.smallest_jacobian)
        backward = backward and invert(field, backward.grid).field
    points_mm = estimate.displacements.keypoints.points_mm
    with monitor.stage("quality"):
        quality = assess(prepared, subjects, field, config.anatomy.figures(*subjects), apart_mm)
    return Registration(
        field=field,
        keypoints=replace(estimate.displacements, vectors_mm=field(points_mm) - points_mm),
        fixed_grid=pair.fixed.grid,
        config=config,
        quality=quality,
        backward=backward,
        traces=traces,
        stages=monitor.costs,
        device=monitor.device.type,
        seed=seed,
    )


def find_regions(pair: ImagePair, anatomy: Anatomy, monitor: Monitor) -> tuple[Subject, Subject]:
    """Stage 0: both images with their regions, those of the pair or found where it has none."""
    with monitor.stage("mask"):
        with blaming("fixed"):
            fixed = _subject(pair.fixed, pair.fixed_mask, anatomy)
        with blaming("moving"):
            return fixed, _subject(pair.moving, pair.moving_mask, anatomy)


def _subject(image: Volume, mask: torch.Tensor | None, anatomy: Anatomy) -> Subject:
    if mask is None:
        return Subject(image, anatomy.find(image))
    anatomy.check_region(image, mask)
    return Subject(image, mask)


def prealign(subjects: tuple[Subject, Subject], config: RegistrationConfig, monitor: Monitor) -> PreparedPair:
    """Stage 0: where the search starts from, and the images as the levels look at them."""
    fixed, moving = subjects
    with monitor.stage("alignment"):
        start = Affine.identity()
        for step in config.prealignment:
            start = step(fixed, moving, start)
    windows = config.anatomy.window(fixed.image, fixed.mask), config.anatomy.window(moving.image, moving.mask)
    return prepare_pair(fixed, moving, start, windows, config.field_spacing_mm)


def estimate_motion(
    pair: PreparedPair, config: RegistrationConfig, monitor: Monitor, seed: int
) -> tuple[Estimate, dict[str, Trace]]:
    """Stages 1 to 7: the motion with what the last level has seen, and the traces of the refinement."""
    motion: Motion = pair.start
    for level in config.levels:
        estimate = run_level(motion, level, pair, monitor)
        motion = estimate.motion
    traces = {}
    for refine in config.refinement:
        with monitor.stage("refinement"):
            estimate, traces[refine.name] = refine(estimate, pair, seed)
    return estimate, traces


def run_level(motion: Motion, level: LevelConfig, pair: PreparedPair, monitor: Monitor) -> Estimate:
    """Stages 1 to 6 on one working grid: the motion so far, composed with what is left of it."""
    costs, graph = observe(motion, level, pair, monitor)
    with monitor.stage("regulariser"):
        found = level.regulariser(costs, graph)
    with monitor.stage("spline"):
        moved = compose(motion, level.interpolator(found, pair.field_grid))
    return Estimate(motion, moved, found, costs, graph, level.interpolator)


def observe(
    motion: Motion, level: LevelConfig, pair: PreparedPair, monitor: Monitor, keypoints: Keypoints | None = None
) -> tuple[CostVolume, KeypointGraph]:
    """Stages 1 to 4 on one working grid: what the images say of the motion that is left, keypoint by keypoint."""
    stage = monitor.stage
    grid = pair.working_grid(level.spacing_mm, level.matcher.radius_mm)
    with stage("keypoints"), blaming("fixed"):
        fixed, mask = pair.fixed_on(grid, level.spacing_mm), pair.fixed_region(grid)
        keypoints = keypoints or level.sampler(pair.plain(fixed), mask)
    with stage("descriptors"):
        fixed_features = level.features(fixed, mask)
        del fixed  # the features of both images are most of the memory of a run
        moving = pair.moving_on(grid, level.spacing_mm, motion)
        moving_features = (level.moving_features or level.features)(moving, mask)  # it lies where the fixed one does
        del moving
    with stage("cost volume"):
        costs = level.matcher(fixed_features, moving_features, keypoints, mask)
        del fixed_features, moving_features
    with stage("graph"):
        graph = level.graph(keypoints)
    return costs, graph
