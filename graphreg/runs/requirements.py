"""How much memory a registration takes, known before an image is read, and how much there is.

Most of it are the images, and at each level the descriptors of both on its grid around the lungs. How large those are
is not known yet: those of a small adult are the least that there will be. What is refused could not have been done.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from graphreg.config import LevelConfig, RegistrationConfig
from graphreg.core.errors import PathInput, unsuitable
from graphreg.io.extents import Extent, read_extent
from graphreg.matching.cost_volume import label_grid
from graphreg.scene import CROP_MM, MARGIN_MM

Triple = tuple[float, float, float]

SMALL_LUNGS_MM = (200.0, 140.0, 180.0)  # box around both, (x, y, z)
READ, KEPT, CUT = 4, 5, 4  # bytes per voxel of an image: read (one of two twice); with its mask; cut to the window
LEVEL = 140  # bytes per voxel of a level: descriptors of both images, those of the moving one once more, and images
LABEL = 12  # bytes per displacement of a keypoint
KNOTS = 24  # bytes per pair of keypoints, of the system of the spline
SPARSE_MM3 = 4000.0  # of that box, at most, for every distinctive point that is found where very many are wanted
GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # cgroups(7)


def require_memory(fixed: PathInput, moving: PathInput, config: RegistrationConfig, device: torch.device) -> None:
    """Raise InputError where two images are surely too large for the memory that there is."""
    extents = read_extent(fixed), read_extent(moving)
    if extents[0] is None or extents[1] is None:
        return
    needed = needed_bytes(extents[0], extents[1], config, on_gpu=device.type == "cuda")
    available = available_bytes(device)
    if needed > available:
        need = f"at least {needed / 1e9:.2f} GB of memory on the {device.type} for these images and settings"
        raise unsuitable(f"{fixed} and {moving}", need, f"{available / 1e9:.2f} GB available")


def needed_bytes(
    fixed: Extent, moving: Extent, config: RegistrationConfig, lungs_mm: Triple = SMALL_LUNGS_MM, on_gpu: bool = False
) -> float:
    """Memory that a registration takes beyond that of the idle program, where lungs of that size are in the images."""
    images = fixed.voxels + moving.voxels
    cut = CUT * sum(image.voxels * _share(image, lungs_mm) for image in (fixed, moving))
    box_mm = tuple(min(lung, whole) for lung, whole in zip(lungs_mm, fixed.size_mm, strict=True))
    work = max(_level_bytes(level, box_mm) for level in config.levels)
    reading = READ * (images + min(fixed.voxels, moving.voxels))
    return max(0 if on_gpu else reading, KEPT * images + cut + work)


def _share(image: Extent, lungs_mm: Triple) -> float:
    """Of an image, what is kept around the lungs."""
    return math.prod(
        min((lung + 2 * CROP_MM) / whole, 1.0) if math.isfinite(whole) else 0.0
        for lung, whole in zip(lungs_mm, image.size_mm, strict=True)
    )


def _level_bytes(level: LevelConfig, box_mm: tuple[float, ...]) -> float:
    voxels = math.prod((size + 2 * MARGIN_MM) / level.spacing_mm for size in box_mm)
    labels = label_grid(level.costs.radius_mm, level.costs.step_mm).voxels
    found = math.inf if level.keypoints.uniform else math.prod(box_mm) / SPARSE_MM3
    count = min(level.keypoints.count, found)
    return max(LEVEL * voxels, KNOTS * count**2) + LABEL * count * labels


def available_bytes(device: torch.device) -> float:
    """Memory that may still be taken; infinite where the system does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return min((math.inf, *_free(), *_allowed(), *_addresses()))


def _free() -> Iterator[float]:
    """What the machine has."""
    told = _table(Path("/proc/meminfo"))
    if "MemAvailable" in told:
        yield 1024 * (told["MemAvailable"] + told.get("SwapFree", 0))


def _allowed() -> Iterator[float]:
    """What the control groups of the process leave it, files that are only kept in memory aside."""
    try:
        groups = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in groups):
        root = GROUPS / ("memory" if controllers else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        if controllers not in ("", "memory"):
            continue
        place = root / path.lstrip("/")
        for group in (place, *place.parents):
            if group.is_relative_to(root):
                limit, used = (_number(group / name) for name in names)
                told = _table(group / "memory.stat")
                yield limit - used + told.get("inactive_file", 0) + told.get("active_file", 0)


def _addresses() -> Iterator[float]:
    """What a limit of the process leaves it."""
    try:
        import resource  # not on Windows
    except ImportError:
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    statm = Path("/proc/self/statm")
    if limit != resource.RLIM_INFINITY and statm.exists():
        yield limit - int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _number(path: Path) -> float:
    """The number in a file; none is no limit, or nothing used."""
    try:
        text = path.read_text().strip()
    except OSError:
        return math.inf if "max" in path.name or "limit" in path.name else 0.0
    return math.inf if text == "max" else float(text)


def _table(path: Path) -> dict[str, int]:
    """Names and numbers, one pair in a line."""
    try:
        rows = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows}
