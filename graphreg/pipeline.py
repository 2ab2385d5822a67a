"""The lines of the algorithm.  ImagePair -> Registration

Every level looks at the moving image through the motion found so far, on an isotropic working grid around the fixed
lungs, and composes what is left: T_new(x) = T(x + u(x)).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from graphreg.analysis.field import compose
from graphreg.analysis.quality import mask_volume_mm3, regularity, similarity
from graphreg.config import LevelConfig, RegistrationConfig
from graphreg.config import preset as named_preset
from graphreg.grid import Grid, mask_corners_mm
from graphreg.monitor import Monitor, Progress, StageCost
from graphreg.records import (
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
from graphreg.stages.alignment import Affine, align_masks
from graphreg.stages.cost_volume import compare
from graphreg.stages.descriptors import DescriptorConfig, describe
from graphreg.stages.graph import connect
from graphreg.stages.keypoints import detect
from graphreg.stages.mask import find_lungs
from graphreg.stages.resampling import AIR_HU, crop, identity, prepare, region, resample, resample_mask
from graphreg.stages.spline import interpolate

MARGIN_MM = 10.0  # of the working grid around the fixed lungs
QUALITY_MM = 3.0  # spacing at which descriptors are compared before and after
CROP_MM = 25.0  # kept around the lungs of either image: the working grid, and filters at its border


@dataclass(frozen=True, eq=False)
class Registration:
    """The result: a map of fixed to moving points and what is known about it."""

    field: DenseField
    keypoints: Displacements  # of the last level, with their whole motion fixed -> moving
    fixed_grid: Grid
    config: RegistrationConfig
    quality: Quality
    stages: dict[str, StageCost]  # seconds and memory of each
    device: str
    seed: int

    def warp(self, volume: Volume, labels: bool = False) -> Volume:
        """A volume in the moving image's space, resampled on the fixed grid; labels take the nearest value."""
        outside = 0.0 if labels else AIR_HU
        return resample(volume, self.fixed_grid, self.field, outside=outside, nearest=labels)


@dataclass(frozen=True, eq=False)
class Scene:
    """What every level looks at: both images cropped to their lungs."""

    prepared: Callable[[float], tuple[Volume, Volume]]  # fixed and moving as a grid of that spacing can hold them
    fixed_grid: Grid
    fixed_mask: Tensor  # (D, H, W) bool, on the fixed grid
    start: Affine  # the pre-alignment
    lungs_mm: Tensor  # (8, 3), corners of the box of the fixed lungs
    reach_mm: Tensor  # (16, 3), and of where pre-alignment puts the moving ones: a wide search stays inside
    field_grid: Grid  # of the motion, over the whole fixed image
    config: RegistrationConfig
    monitor: Monitor


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
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: recorded with the result; no stage draws at random so far.
        progress: called with the name of each stage as it starts and the share of the run that is done.

    Raises:
        ValueError: unknown preset, regulariser or device; a mask too small for 50 keypoints.
        LungsNotFoundError: no mask is given and no lung is found.
    """
    config = config or named_preset(preset)
    config = replace(config, regulariser=regulariser) if regulariser else config
    target = choose_device(device)
    pair = _to_device(pair, target)
    monitor = Monitor(3 + 6 * len(config.levels), target, progress)
    with torch.no_grad():
        return _register(pair, config, monitor, seed)


def _register(pair: ImagePair, config: RegistrationConfig, monitor: Monitor, seed: int) -> Registration:
    masks = find_masks(pair, config, monitor)
    scene = open_scene(pair, masks, config, monitor)
    motion: Motion = scene.start
    for level in config.levels:
        field, keypoints = _run_level(motion, level, scene)
        motion = field
    with monitor.stage("quality"):
        volumes = [mask_volume_mm3(m, v.grid) for m, v in zip(masks, (pair.fixed, pair.moving), strict=True)]
        before, after = _similarities(scene, scene.start, field)
        changes = regularity(field, masks[0], pair.fixed.grid)
        quality = Quality(before, after, **asdict(changes), volume_ratio=volumes[1] / volumes[0])
    device = monitor.device.type
    return Registration(field, keypoints, pair.fixed.grid, config, quality, monitor.costs, device, seed)


def find_masks(pair: ImagePair, config: RegistrationConfig, monitor: Monitor) -> tuple[Tensor, Tensor]:
    """Lung masks (D, H, W) of the fixed and the moving image: those of the pair, found where it has none."""
    with monitor.stage("mask"):
        with _about("fixed image"):
            fixed_mask = find_lungs(pair.fixed, config.mask) if pair.fixed_mask is None else pair.fixed_mask
        with _about("moving image"):
            moving_mask = find_lungs(pair.moving, config.mask) if pair.moving_mask is None else pair.moving_mask
    return fixed_mask, moving_mask


def open_scene(pair: ImagePair, masks: tuple[Tensor, Tensor], config: RegistrationConfig, monitor: Monitor) -> Scene:
    """Pre-alignment, and what the levels need of a pair with the masks (D, H, W) of both images."""
    with monitor.stage("alignment"):
        start = align_masks(masks[0], pair.fixed.grid, masks[1], pair.moving.grid, config.alignment)
    images = (pair.fixed, pair.moving)
    parts = [region(mask, volume.grid, CROP_MM) for mask, volume in zip(masks, images, strict=True)]
    lungs_mm, moving_lungs_mm = (mask_corners_mm(mask, volume.grid) for mask, volume in zip(masks, images, strict=True))
    cropped = [crop(volume, part) for volume, part in zip(images, parts, strict=True)]

    @lru_cache(maxsize=1)  # levels that follow one another may share a spacing
    def prepared(spacing_mm: float) -> tuple[Volume, Volume]:
        fixed, moving = (prepare(volume, spacing_mm, config.window_hu) for volume in cropped)
        return fixed, moving

    return Scene(
        prepared=prepared,
        fixed_grid=cropped[0].grid,
        fixed_mask=masks[0][parts[0]],
        start=start,
        lungs_mm=lungs_mm,
        reach_mm=torch.cat((lungs_mm, start.inverse()(moving_lungs_mm))),
        field_grid=pair.fixed.grid.with_spacing(config.field_spacing_mm),
        config=config,
        monitor=monitor,
    )


def _run_level(motion: Motion, level: LevelConfig, scene: Scene) -> tuple[DenseField, Displacements]:
    """Stages 1 to 6 on one working grid: the motion so far, composed with what is left of it."""
    stage = scene.monitor.stage
    costs, graph = observe(motion, level, scene)
    with stage("regulariser"):
        displacements = level.regulariser(scene.config.regulariser)(costs, graph)
        del costs
    with stage("spline"):
        left = interpolate(displacements, scene.field_grid, level.spline)
        field = compose(motion, left)
    points_mm = displacements.keypoints.points_mm
    moved = Displacements(displacements.keypoints, field(points_mm) - points_mm, displacements.confidence)
    return field, moved


def observe(
    motion: Motion, level: LevelConfig, scene: Scene, keypoints: Keypoints | None = None
) -> tuple[CostVolume, KeypointGraph]:
    """Stages 1 to 4 on one working grid: what the images say of the motion that is left, keypoint by keypoint.

    Keypoints may be given in place of those that are detected.
    """
    stage = scene.monitor.stage
    around_mm = scene.lungs_mm if level.costs.radius_mm <= MARGIN_MM else scene.reach_mm
    grid = Grid.covering(around_mm, level.spacing_mm, MARGIN_MM)
    with stage("keypoints"), _about("fixed image"):
        fixed = resample(scene.prepared(level.spacing_mm)[0], grid, identity)
        mask = resample_mask(scene.fixed_mask, scene.fixed_grid, grid, identity)
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


@contextmanager
def _about(image: str) -> Iterator[None]:
    """Errors in the block say which image they are about."""
    try:
        yield
    except ValueError as error:
        raise type(error)(f"{image}: {error}") from error


def _similarities(scene: Scene, *motions: Motion) -> tuple[float, ...]:
    """Agreement of the descriptors in the fixed lungs under each motion; the same measure whatever the settings."""
    grid = Grid.covering(scene.lungs_mm, QUALITY_MM, MARGIN_MM)
    mask = resample_mask(scene.fixed_mask, scene.fixed_grid, grid, identity)
    fixed, moving = scene.prepared(QUALITY_MM)
    config = DescriptorConfig(dilation_mm=QUALITY_MM, radius_mm=QUALITY_MM)
    features = describe(resample(fixed, grid, identity), config)
    seen = (describe(resample(moving, grid, motion), config) for motion in motions)
    return tuple(similarity(features, other, mask) for other in seen)


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        ValueError: an unknown name, or a device that this machine lacks.
    """
    if name == "mps":
        raise ValueError("device 'mps' lacks the float64 that the spline needs; use cpu")
    present = {"cpu": True, "cuda": torch.cuda.is_available()}
    if name == "auto":
        return torch.device("cuda" if present["cuda"] else "cpu")
    if name not in present:
        raise ValueError(f"device must be one of auto, {', '.join(present)}, mps, got {name!r}")
    if not present[name]:
        raise ValueError(f"device {name!r} is not available on this machine")
    return torch.device(name)


def _to_device(pair: ImagePair, device: torch.device) -> ImagePair:
    fixed, moving = (Volume(v.grid, v.data.to(device, torch.float32)) for v in (pair.fixed, pair.moving))
    masks = (None if m is None else m.to(device) for m in (pair.fixed_mask, pair.moving_mask))
    return ImagePair(fixed, moving, *masks)
