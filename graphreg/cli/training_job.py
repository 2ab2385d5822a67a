"""One training from options to weights, for the verb ``train``."""

from dataclasses import dataclass
from pathlib import Path

from graphreg.cli.console import progress_bar, say
from graphreg.cli.settings import settings_of
from graphreg.io.files import require_writable
from graphreg.runtime.devices import choose_device
from graphreg.training.run import Training
from graphreg.training.settings import FitConfig
from graphreg.training.sources import Sources, images_in, pairs_in, tables_in


@dataclass(frozen=True)
class TrainingJob:
    """A training as the user asked for it."""

    out: Path
    levels: str  # with commas between
    scans: Path | None
    breaths: Path | None
    pairs: Path | None
    made: int
    steps: int
    preset: str
    config: Path | None
    architecture: str
    start: str | None
    workers: int
    device: str
    seed: int
    mixed_precision: bool

    def perform(self, quiet: bool) -> None:
        """Trains and tells the loss. Raises InputError before a pair is made."""
        require_writable(self.out, folder=True)
        training = Training(
            out=self.out,
            levels=tuple(self.levels.split(",")),
            sources=self._sources(),
            settings=settings_of(self.preset, self.config),
            fit=self._fit(),
            start=self.start,
            workers=self.workers,
            device=choose_device(self.device),
        )
        with progress_bar(quiet) as progress:
            say(f"loss {training.run(progress):.3f} mm on the pairs held out: {training.target}")

    def _sources(self) -> Sources:
        return Sources(
            scans=images_in(self.scans) if self.scans else (),
            breaths=tables_in(self.breaths) if self.breaths else (),
            pairs=pairs_in(self.pairs) if self.pairs else (),
            made=self.made,
            seed=self.seed,
        )

    def _fit(self) -> FitConfig:
        return FitConfig(
            architecture=self.architecture, steps=self.steps, seed=self.seed, mixed_precision=self.mixed_precision
        )
