"""Fitting a network to samples: Adam with a cosine schedule, held-out pairs, checkpoints, losses as a table.

A run that was interrupted goes on from its last checkpoint as if nothing had happened.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.io import atomic_path
from graphreg.regularisers.networks import build, restore
from graphreg.regularisers.weights_file import Weights, fingerprint
from graphreg.runtime.monitor import Progress
from graphreg.training.excerpts import Excerpt, excerpt
from graphreg.training.losses import objective
from graphreg.training.samples import Sample
from graphreg.training.settings import FitConfig

HELD_OUT = 8  # one pair of so many is kept for validation
LENGTH = ("steps", "check_every", "patience")  # settings that may change when a run goes on
COLUMNS = ("step", "training_mm", "validation_mm", "rate")


def split(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Files to learn from and files held out: whole pairs, every eighth. Names are PAIR-LEVEL.safetensors.

    Raises:
        InputError: fewer than two pairs.
    """
    pairs = sorted({file.stem.rpartition("-")[0] for file in files})
    if len(pairs) < 2:
        raise InputError(f"training needs samples of at least 2 pairs, one of them held out, got {len(pairs)}")
    held = set(pairs[HELD_OUT - 1 :: HELD_OUT] or pairs[-1:])
    kept = [file for file in sorted(files) if file.stem.rpartition("-")[0] in held]
    return [file for file in sorted(files) if file not in kept], kept


class Fit:
    """A run of training: the network, what it is fitted with, and how far it is."""

    def __init__(
        self,
        config: FitConfig,
        smoothness_mm: Mapping[str, float],
        device: torch.device,
        start: Weights | None = None,
    ):
        """``smoothness_mm`` is that of the spline of each level; ``start`` are weights to go on from, with their own
        architecture."""
        torch.manual_seed(config.seed)
        self.config, self.smoothness_mm, self.device = config, smoothness_mm, device
        self._identity = {name: json.dumps(value) for name, value in asdict(config).items() if name not in LENGTH}
        self._identity["start"] = fingerprint(start.tensors) if start else ""
        self.origin = start or Weights(config.architecture, config.settings, {}, {})
        network = restore(start) if start else build(config.architecture, config.settings)
        self.network = network.to(device)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=config.rate, weight_decay=config.decay)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step, self.stale, self.best_mm = 0, 0, math.inf
        self.best: dict[str, Tensor] = {}
        self.rows: list[tuple[float, ...]] = []

    def run(self, files: Sequence[Path], checkpoint: Path, progress: Progress | None = None) -> None:
        """Trains until the steps are done or validation gets no better; goes on from the checkpoint if there is one."""
        config = self.config
        learnt, held = split(files)
        if checkpoint.exists():
            self.load(checkpoint)
        recent: list[float] = []
        while self.step < config.steps and self.stale < config.patience:
            recent.append(self._learn(learnt))
            self.step += 1
            if progress and self.step % 20 == 0:
                progress(f"training, {self.best_mm:.3f} mm held out", self.step / config.steps)
            if self.step % config.check_every == 0 or self.step == config.steps:
                self._check(held, sum(recent) / len(recent))
                recent.clear()
                self.save(checkpoint)

    def _learn(self, files: Sequence[Path]) -> float:
        """One step; the loss in mm."""
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        file = files[int(torch.randint(len(files), (1,), generator=self.generator))]
        sample = Sample.load(file, self.device)
        self.network.train()
        loss = self._loss(excerpt(sample, self.config.keypoints, self.generator), sample.level)
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if bool(torch.isfinite(norm)):  # one excerpt without an answer must not end the run
            self.optimiser.step()
        return loss.item()

    def _loss(self, part: Excerpt, level: str) -> Tensor:
        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.mixed_precision)
        with mixed:
            wanted = part.target_mm is None
            seen = self.network(part.costs, part.points_mm, part.edge_index, part.step_mm, beliefs=wanted)
        return objective(seen, part, self.smoothness_mm[level])

    def _rate(self) -> float:
        config = self.config
        warm = min(1.0, (self.step + 1) / config.warm_up)
        return config.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.step / config.steps)))

    @torch.no_grad()
    def _check(self, files: Sequence[Path], training_mm: float) -> None:
        """Validation on the same excerpts every time."""
        self.network.eval()
        total = 0.0
        for number, file in enumerate(files):
            sample = Sample.load(file, self.device)
            same = torch.Generator().manual_seed(number)
            total += float(self._loss(excerpt(sample, self.config.keypoints, same), sample.level))
        validation_mm = total / len(files)
        if not math.isfinite(validation_mm):
            raise RuntimeError(f"training diverged: the loss of the pairs held out is {validation_mm} mm")
        self.rows.append((self.step, training_mm, validation_mm, self._rate()))
        self.stale = 0 if validation_mm < self.best_mm else self.stale + 1
        if self.stale == 0:
            self.best_mm = validation_mm
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def weights(self, notes: Mapping[str, Any]) -> Weights:
        """The best weights so far, with notes on how they came about."""
        return Weights(self.origin.architecture, self.origin.settings, self.best, notes)

    def save(self, path: Path) -> None:
        """Everything that a run needs to go on, and its losses as a table beside it."""
        state = {
            "identity": self._identity,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "counts": (self.step, self.stale, self.best_mm),
            "best": self.best,
            "rows": self.rows,
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)
        with atomic_path(path.with_suffix(".csv")) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *self.rows])

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint. Raises InputError where it is of another run."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        other = sorted(name for name, value in self._identity.items() if state["identity"].get(name) != value)
        if other:
            raise InputError(f"{path}: a checkpoint of the same settings needed, found others: {', '.join(other)}")
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"].cpu())
        self.step, self.stale, self.best_mm = state["counts"]
        self.best, self.rows = state["best"], state["rows"]
