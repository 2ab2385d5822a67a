"""Hot stages of graphreg beside their references, on the same input: see ``runtime.py``. Here those of images."""

from collections.abc import Iterator, Sequence

import torch
from references import MM, costs_by_sampling, keypoints_by_convolution, looked_up, mind_by_convolution
from stage_bench import Bench, Row, on_grid
from stage_files import files
from stage_graphs import mean_fields, propagations, splines
from torch import Tensor

from graphreg import PRESETS
from graphreg.core.cubes import label_grid
from graphreg.core.records import FeatureVolume, Keypoints
from graphreg.core.resampling import identity, resample
from graphreg.features.mind_ssc import PAIRS, mind_ssc
from graphreg.matching.cost_volume import DisplacementSearch, patch_offsets
from graphreg.sampling import Foerstner


def rows(bench: Bench) -> Iterator[Row]:
    """Every stage, as soon as it is measured."""
    for stage in (descriptors, keypoints, costs, mean_fields, propagations, splines, resampling, files):
        yield from stage(bench)


def descriptors(bench: Bench) -> Iterator[Row]:
    """MIND-SSC of two images.

    Operations per voxel: 8 for each of six maps, 11 for the smallest of twelve, 12 to subtract it, 12 for the mean, 4
    to limit and invert it, 24 for products and exponentials. Bytes: the image is read twice, as its average variance
    must be known before the first result, and twelve channels are written.
    """
    images = bench.images()
    counts = (6 * 8 + 11 + 12 + 12 + 4 + 24) * images.numel(), 4 * (2 + len(PAIRS)) * images.numel()
    yield bench.beside(
        "MIND-SSC of two images",
        lambda: [mind_ssc(image, 1, 1) for image in images],
        lambda: [mind_by_convolution(image) for image in images],
        counts=counts,
    )


def keypoints(bench: Bench) -> Iterator[Row]:
    """Detection in a ball; the difference is the share of points that the two do not have in common."""
    volume = on_grid(bench.images()[0])
    z, y, x = (torch.linspace(-1, 1, size, device=bench.device).square() for size in volume.grid.shape)
    mask = z[:, None, None] + y[:, None] + x < 0.9
    config = Foerstner(count=bench.some(2048, 64), sigma_mm=1.4)
    seconds, own = bench.timed(lambda: config(volume, mask).points_mm)
    once, other = bench.timed(lambda: keypoints_by_convolution(volume.data, mask, config), 1)
    shared = {tuple(p) for p in (own / MM).round().tolist()} & {tuple(p) for p in (other / MM).round().tolist()}
    share = 100 * (1 - len(shared) / len(own))
    yield Row(f"{len(own)} keypoints", seconds, once, "all", share, "% of the points", None, None)


def costs(bench: Bench) -> Iterator[Row]:
    """Full patches on many labels, and every level of the default settings on as many voxels."""
    many = DisplacementSearch(radius_mm=35.0, step_mm=2.5, patch=1, full_patch=True)
    dense = DisplacementSearch(radius_mm=10.0, step_mm=1.25, patch=2, full_patch=True)
    images = bench.images()
    data = [mind_ssc(image, 1, 1) for image in images]
    cases = [("29^3 labels, patch 3^3", 2048, MM, many), ("17^3 labels, patch 5^3", 3072, MM, dense)]
    for level in PRESETS["inhale-exhale"].levels:
        assert isinstance(level.sampler, Foerstner) and isinstance(level.matcher, DisplacementSearch)
        cases.append((f"level {level.name}", level.sampler.count, level.spacing_mm, level.matcher))
    for name, count, spacing, config in cases:
        grid = on_grid(images[0], spacing).grid
        features = [FeatureVolume(grid, part) for part in data]
        yield cost_volume(bench, features, name, bench.some(count, 12), config)


def cost_volume(
    bench: Bench, features: Sequence[FeatureVolume], name: str, count: int, config: DisplacementSearch
) -> Row:
    """Costs of so many keypoints.

    Operations: the products of all samples of a patch with its window, 13 channels, and their sums. Bytes: of both
    features what is looked at, once, and the costs.
    """
    fixed, moving = features
    grid, spacing = fixed.grid, fixed.grid.spacing_mm[0]
    points = bench.scattered(count, [(n - 1) * spacing for n in reversed(grid.shape)], spacing)
    few = Keypoints(points.points_mm[: bench.some(64, 4)])
    labels = label_grid(config.radius_mm, config.step_mm)
    window = (labels.shape[0] + 2 * config.patch) ** 3
    samples = len(patch_offsets(config.patch, config.full_patch))
    flop = (1 + config.symmetric) * count * samples * (2 * (len(PAIRS) + 1) * window + labels.voxels)
    looked_at = 2 * len(PAIRS) * min(count * window, grid.voxels)
    return bench.beside(
        f"costs, {count} keypoints, {name}",
        lambda: config(fixed, moving, points).costs,
        lambda: costs_by_sampling(fixed.data, moving.data, few.points_mm / spacing, config, config.step_mm / spacing),
        (len(few), count),
        (flop, 4 * (looked_at + count * labels.voxels)),
    )


def resampling(bench: Bench) -> Iterator[Row]:
    """An image of 1.25 mm on a grid of 1 mm."""
    volume = on_grid(bench.images()[0])
    grid = volume.grid.with_spacing(1.0)

    def by_sampling() -> Tensor:
        places = (grid.points_mm(volume.data) / MM).flatten(1, 2)
        return looked_up(volume.data[None], places).reshape(grid.shape)

    yield bench.beside("resampling onto 1 mm", lambda: resample(volume, grid, identity).data, by_sampling, unit="HU")
