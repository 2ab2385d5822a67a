"""How a stage is measured beside its reference, and on what: see ``runtime.py``.

Where the whole reference would take minutes some keypoints or voxels are computed, and their time scaled.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from references import MM
from torch import Tensor

from graphreg.core.filters import gaussian
from graphreg.core.grid import Grid
from graphreg.core.records import Keypoints, Volume

Result = TypeVar("Result")
ENOUGH_S = 5.0  # after which nothing is repeated


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
    return Volume(Grid((depth, height, width), (spacing_mm,) * 3), data)


def apart(own: Sequence[Tensor] | Tensor, other: Sequence[Tensor] | Tensor) -> float:
    """Largest absolute difference of the entries that both have; NaN where either holds one."""
    gaps = [(a.to(b) - b).abs().max() for a, b in zip(own[: len(other)], other, strict=True)]
    return float(torch.stack(gaps).max())
