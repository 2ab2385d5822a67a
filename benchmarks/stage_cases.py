"""Hot stages of graphreg beside their references, on the same input: see ``runtime.py``.

Where the whole reference would take minutes some keypoints or voxels are computed, and their time scaled.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import SimpleITK as sitk
import torch
from references import (
    MM,
    costs_by_sampling,
    keypoints_by_convolution,
    looked_up,
    mean_field_by_softmax,
    messages_by_trial,
    mind_by_convolution,
    spline_by_solve,
)
from torch import Tensor

from graphreg.config import preset
from graphreg.core.filters import gaussian
from graphreg.core.foreign import to_sitk
from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, DenseField, Displacements, FeatureVolume, KeypointGraph, Keypoints, Volume
from graphreg.core.resampling import identity, resample
from graphreg.features.mind_ssc import PAIRS, mind_ssc
from graphreg.interpolation.thin_plate import SplineConfig, interpolate
from graphreg.io import read_transform, read_volume, write_transform, write_volume
from graphreg.matching.cost_volume import CostConfig, compare, label_grid, patch_offsets
from graphreg.matching.graph import connect
from graphreg.regularisers import BeliefPropagation
from graphreg.regularisers.belief_propagation import min_convolution
from graphreg.sampling.foerstner import KeypointConfig, detect

Result = TypeVar("Result")
FileJob = tuple[Callable[[], None], Callable[[], Tensor]]  # writes, reads
ENOUGH_S = 5.0  # after which nothing is repeated
EXTENT_MM = (300.0, 230.0, 300.0)  # of two lungs


@dataclass(frozen=True)
class Row:
    """One stage beside its reference."""

    stage: str
    seconds: float
    reference_s: float  # of the whole, scaled from that of its part
    part: str  # what the reference computed
    difference: float  # the largest
    unit: str
    flop: float | None
    bytes: float | None  # that must move between memory and processor, however it is programmed


@dataclass(frozen=True)
class Bench:
    """Where, how large, and with files in which folder."""

    device: torch.device
    quick: bool
    folder: Path

    def timed(self, work: Callable[[], Result], repeats: int = 3) -> tuple[float, Result]:
        """Seconds of the best of three, or of as many as start within five seconds, and the result."""
        best, begin = math.inf, self._now()
        for _ in range(repeats):
            start = self._now()
            result = work()
            best = min(best, self._now() - start)
            if self._now() - begin > ENOUGH_S:
                break
        return best, result

    def beside(
        self,
        stage: str,
        ours: Callable[[], Sequence[Tensor] | Tensor],
        theirs: Callable[[], Sequence[Tensor] | Tensor],
        part: tuple[int, int] = (1, 1),  # of the whole, for theirs
        counts: tuple[float, float] | tuple[None, None] = (None, None),
        unit: str = "",
    ) -> Row:
        """A stage beside its reference, which runs once and is compared with the first entries of the result."""
        (seconds, own), (once, other) = self.timed(ours), self.timed(theirs, 1)
        words = "all" if part[0] == part[1] else f"{part[0]} of {part[1]}, scaled"
        return Row(stage, seconds, once * part[1] / part[0], words, apart(own, other), unit, *counts)

    def some(self, many: int, few: int) -> int:
        """A number of things, few where all must be quick."""
        return few if self.quick else many

    def random(self, *shape: int) -> Tensor:
        """Numbers in [0, 1), the same on every device."""
        return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(self.device)

    def images(self) -> Tensor:
        """Smooth noise and a shifted copy with noise of its own (2, D, H, W), on the -1000 to 200 HU of a lung."""
        shape = (40, 32, 36) if self.quick else (250, 180, 250)
        fixed, other = gaussian(self.random(2, *shape), (1.5,) * 3)
        pair = torch.stack((fixed, 0.8 * fixed.roll((1, 2, 1), (0, 1, 2)) + 0.2 * other))
        low = pair.amin((1, 2, 3), keepdim=True)
        return (pair - low) / (pair.amax((1, 2, 3), keepdim=True) - low) * 1200 - 1000

    def scattered(self, count: int, size_mm: Sequence[float], raster_mm: float = 1e-3) -> Keypoints:
        """Points anywhere in a box (x, y, z), on a raster."""
        points = self.random(count, 3) * torch.tensor(size_mm, device=self.device)
        return Keypoints((points / raster_mm).floor() * raster_mm)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def on_grid(data: Tensor, spacing_mm: float = MM) -> Volume:
    """An image whose first voxel lies at the origin."""
    depth, height, width = data.shape
    return Volume(Grid((depth, height, width), (spacing_mm,) * 3), data, "int16")


def rows(bench: Bench) -> Iterator[Row]:
    """Every stage, as soon as it is measured."""
    for stage in (descriptors, keypoints, costs, mean_fields, propagations, splines, resampling, files):
        yield from stage(bench)


def apart(own: Sequence[Tensor] | Tensor, other: Sequence[Tensor] | Tensor) -> float:
    """Largest absolute difference of the entries that both have; NaN where either holds one."""
    gaps = [(a.to(b) - b).abs().max() for a, b in zip(own[: len(other)], other, strict=True)]
    return float(torch.stack(gaps).max())


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
    config = KeypointConfig(count=bench.some(2048, 64), sigma_mm=1.4)
    seconds, own = bench.timed(lambda: detect(volume, mask, config).points_mm)
    once, other = bench.timed(lambda: keypoints_by_convolution(volume.data, mask, config), 1)
    shared = {tuple(p) for p in (own / MM).round().tolist()} & {tuple(p) for p in (other / MM).round().tolist()}
    share = 100 * (1 - len(shared) / len(own))
    yield Row(f"{len(own)} keypoints", seconds, once, "all", share, "% of the points", None, None)


def costs(bench: Bench) -> Iterator[Row]:
    """Full patches on many labels, and every level of the default settings on as many voxels."""
    many = CostConfig(radius_mm=35.0, step_mm=2.5, patch=1, full_patch=True)
    dense = CostConfig(radius_mm=10.0, step_mm=1.25, patch=2, full_patch=True)
    images = bench.images()
    data = [mind_ssc(image, 1, 1) for image in images]
    cases = [("29^3 labels, patch 3^3", 2048, MM, many), ("17^3 labels, patch 5^3", 3072, MM, dense)]
    for level in preset("inhale-exhale").levels:
        cases.append((f"level {level.name}", level.keypoints.count, level.spacing_mm, level.costs))
    for name, count, spacing, config in cases:
        grid = on_grid(images[0], spacing).grid
        features = [FeatureVolume(grid, part) for part in data]
        yield cost_volume(bench, features, name, bench.some(count, 12), config)


def cost_volume(bench: Bench, features: Sequence[FeatureVolume], name: str, count: int, config: CostConfig) -> Row:
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
        lambda: compare(fixed, moving, points, config).costs,
        lambda: costs_by_sampling(fixed.data, moving.data, few.points_mm / spacing, config, config.step_mm / spacing),
        (len(few), count),
        (flop, 4 * (looked_at + count * labels.voxels)),
    )


def problem(bench: Bench, count: int, side: int, step_mm: float) -> tuple[CostVolume, KeypointGraph]:
    """Noisy costs with a minimum that moves smoothly from keypoint to keypoint, and their graph."""
    points = bench.scattered(count, EXTENT_MM)
    labels = label_grid(side // 2 * step_mm, step_mm)
    true_mm = 12 * torch.sin(points.points_mm / 60)
    gap = ((torch.arange(side, device=bench.device) - side // 2) * step_mm - true_mm[..., None]).square()
    squared = gap[:, 2, :, None, None] + gap[:, 1, None, :, None] + gap[:, 0, None, None]
    costs = 0.04 * (1 - torch.exp(squared / -100)) + 0.01 * bench.random(*squared.shape)
    return CostVolume(points, labels, costs), connect(points)


def mean_fields(bench: Bench) -> Iterator[Row]:
    """Both sizes of the cube of labels."""
    for count, side, step_mm in ((2048, 13, 3.0), (2048, 29, 2.5)):
        yield mean_field(bench, *problem(bench, bench.some(count, 60), bench.some(side, side // 4 * 2 + 1), step_mm))


def mean_field(bench: Bench, volume: CostVolume, graph: KeypointGraph) -> Row:
    """With the sweeps of the level coarse."""
    regulariser = next(level.mean_field for level in preset("inhale-exhale").levels if level.name == "coarse")
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
        yield spline(bench, bench.some(count, 60), SplineConfig(lattice_mm=lattice_mm))


def spline(bench: Bench, count: int, config: SplineConfig) -> Row:
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
        lambda: interpolate(motion, grid, config).displacement_mm.flatten(1)[:, ::every].T,
        lambda: torch.cat([solved(part) for part in where.split(4096)]),
        (len(where), grid.voxels),
        unit="mm",
    )
    return replace(row, reference_s=row.reference_s + solve_s)


def resampling(bench: Bench) -> Iterator[Row]:
    """An image of 1.25 mm on a grid of 1 mm."""
    volume = on_grid(bench.images()[0])
    grid = volume.grid.with_spacing(1.0)

    def by_sampling() -> Tensor:
        places = (grid.points_mm(volume.data) / MM).flatten(1, 2)
        return looked_up(volume.data[None], places).reshape(grid.shape)

    yield bench.beside("resampling onto 1 mm", lambda: resample(volume, grid, identity).data, by_sampling, unit="HU")


def files(bench: Bench) -> Iterator[Row]:
    """The large files of a result, by this program and by SimpleITK as it comes."""
    cpu = replace(bench, device=torch.device("cpu"))
    volume = on_grid(cpu.images()[0].round())
    grid = volume.grid.with_spacing(2.0)
    field = DenseField(grid, cpu.random(3, *grid.shape))
    image = to_sitk(volume.grid, volume.data.to(torch.int16))
    vectors = to_sitk(field.grid, field.displacement_mm.double().movedim(0, -1))
    transform = sitk.DisplacementFieldTransform(vectors)
    own, other = (str(bench.folder / name) for name in ("own", "other"))
    yield from round_trip(
        cpu,
        ".nii.gz",
        (lambda: write_volume(volume, f"{own}.nii.gz"), lambda: read_volume(f"{own}.nii.gz").data),
        (lambda: sitk.WriteImage(image, f"{other}.nii.gz", True), lambda: voxels(sitk.ReadImage(f"{other}.nii.gz"))),
    )
    yield from round_trip(
        cpu,
        ".h5",
        (lambda: write_transform(field, f"{own}.h5"), lambda: read_transform(f"{own}.h5").displacement_mm),
        (lambda: sitk.WriteTransform(transform, f"{other}.h5"), lambda: vectors_in(f"{other}.h5")),
    )


def round_trip(bench: Bench, kind: str, ours: FileJob, theirs: FileJob) -> Iterator[Row]:
    """Writing, then reading; both programs must read the same."""
    (seconds, _), (once, _) = bench.timed(ours[0]), bench.timed(theirs[0], 1)
    row = bench.beside(f"read {kind}", ours[1], theirs[1])
    yield replace(row, stage=f"write {kind}", seconds=seconds, reference_s=once)
    yield row


def voxels(image: sitk.Image) -> Tensor:
    """Values of an image, float32."""
    return torch.from_numpy(sitk.GetArrayFromImage(image)).float()


def vectors_in(path: str) -> Tensor:
    """Displacements (3, D, H, W) of a transform."""
    return voxels(sitk.DisplacementFieldTransform(sitk.ReadTransform(path)).GetDisplacementField()).movedim(-1, 0)
