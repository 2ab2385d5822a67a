"""What a run costs: seconds and peak memory per stage, and how far it is, for whoever listens."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

Progress = Callable[[str, float], None]  # name of the stage that starts, share of the whole run done


@dataclass(frozen=True)
class StageCost:
    """What one stage took; of stages that run once per level, their sum and their highest peak."""

    seconds: float
    peak_mib: float  # highest memory of the process (or of the GPU) up to the end of the stage, not of the stage alone


@dataclass(eq=False)
class Monitor:
    """Collects the costs of stages in the order in which they first run."""

    steps: int  # stages that will run in all
    device: torch.device
    progress: Progress | None = None
    costs: dict[str, StageCost] = field(default_factory=dict)
    _done: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times the block as the stage of that name and tells the listener that it starts."""
        if self.progress:
            self.progress(name, min(self._done / self.steps, 1.0))
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        before = self.costs.get(name, StageCost(0.0, 0.0)).seconds
        self.costs[name] = StageCost(before + time.perf_counter() - start, peak_memory_mib(self.device))
        self._done += 1


def peak_memory_mib(device: torch.device) -> float:
    """Highest memory so far: of the GPU where there is one, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource  # not on Windows
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
