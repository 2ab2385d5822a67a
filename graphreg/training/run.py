"""A training from folders to weights: samples, then a network fitted to them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from graphreg import __version__
from graphreg.config import LevelConfig, RegistrationConfig, as_record
from graphreg.core.errors import InputError
from graphreg.interpolation import ThinPlate
from graphreg.io import write_text
from graphreg.regularisers.weights_file import locate, read_weights
from graphreg.runs.claim import claim
from graphreg.runtime.monitor import Progress
from graphreg.training.settings import FitConfig
from graphreg.training.sources import Sources, make_samples


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training as the user asked for it. Raises InputError for a level that the settings lack."""

    out: Path
    levels: tuple[str, ...]  # of the settings, that the network is for
    sources: Sources
    settings: RegistrationConfig
    fit: FitConfig
    start: str | None = None  # weights to go on from
    workers: int = 1
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        have = [level.name for level in self.settings.levels]
        if not self.levels or not set(self.levels) <= set(have):
            raise InputError(f"levels must be some of {', '.join(have)}, got {', '.join(self.levels)}")

    @property
    def name(self) -> str:
        return "-".join(self.levels)

    @property
    def target(self) -> Path:
        return self.out / f"{self.name}.safetensors"

    @property
    def smoothness_mm(self) -> dict[str, float]:
        """Of the splines through which the network is judged. Raises InputError where its levels have other ones."""
        return {level.name: _smoothness_mm(level) for level in self.settings.levels if level.name in self.levels}

    def run(self, progress: Progress | None = None) -> float:
        """Makes what is missing of the samples, fits the network and writes its weights; the loss in mm.

        Raises:
            InputError: fewer than two pairs, weights to start from that cannot be read, or a folder with samples or a
                checkpoint of other sources or settings.
        """
        pairs = self.sources.made + len(self.sources.pairs)
        if pairs < 2:
            raise InputError(f"training needs at least 2 pairs, one of them held out, got {pairs}")
        with claim(self.out), claim(self.out / "samples"):
            return self._run(progress)

    def _run(self, progress: Progress | None) -> float:
        from graphreg.training.fitting import Fit  # takes seconds: torch-geometric

        begin = read_weights(locate(self.start)) if self.start else None
        fit = Fit(self.fit, self.smoothness_mm, self.device, begin)
        self._mark(self.out / "samples")
        files = make_samples(self.sources, self.settings, self.out / "samples", self.workers, progress)
        wanted = [file for file in files if file.stem.rpartition("-")[2] in self.levels]
        fit.run(wanted, self.out / f"{self.name}.pt", progress)
        fit.weights(self._notes(fit.step, fit.best_mm)).save(self.target)
        return fit.best_mm

    def _mark(self, folder: Path) -> None:
        """Marks a folder of samples as those of these sources and settings, of which more may be made later."""
        marks = {
            "scans": [(path.name, path.stat().st_size) for path in self.sources.scans],
            "breaths": [(path.name, path.stat().st_size) for path in self.sources.breaths],
            "seed": self.sources.seed,
            "settings": as_record(self.settings),
        }
        text, mark = json.dumps(marks, indent=1), folder / "sources.json"
        if not mark.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(mark, text)
        elif mark.read_text(encoding="utf-8") != text:
            raise InputError(f"{folder}: samples of these scans, breaths, seed and settings needed, found others")

    def _notes(self, steps: int, loss_mm: float) -> dict[str, Any]:
        """What a model card says."""
        return {
            "graphreg": __version__,
            "levels": self.levels,
            "scans": [path.name for path in self.sources.scans],
            "breaths": [path.name for path in self.sources.breaths],
            "pairs": [path.name for path in self.sources.pairs],
            "made": self.sources.made,
            "seed": self.sources.seed,
            "steps": steps,
            "started_from": self.start,
            "held_out_loss_mm": round(loss_mm, 4),
        }


def _smoothness_mm(level: LevelConfig) -> float:
    if not isinstance(level.interpolator, ThinPlate):
        raise InputError(f"levels.{level.name}: a thin-plate interpolator needed to train with, got another one")
    return level.interpolator.smoothness_mm
