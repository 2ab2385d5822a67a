"""One registration from files to files, for the verbs ``register`` and ``demo``."""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from graphreg.cli.console import progress_bar, say, warn
from graphreg.cli.settings import settings_of
from graphreg.config import RegistrationConfig
from graphreg.core.errors import InputError
from graphreg.core.records import ImagePair
from graphreg.io import read_pair
from graphreg.io.files import require_writable
from graphreg.pipeline import Registration, register
from graphreg.runs.claim import claim
from graphreg.runs.identity import ROLES, identity_of, is_same
from graphreg.runs.requirements import require_memory
from graphreg.runs.results import RECORD, is_whole, read_record, write_result
from graphreg.runtime.devices import choose_device


@dataclass(frozen=True)
class Job:
    """A registration as the user asked for it."""

    fixed: Path
    moving: Path
    out: Path
    fixed_mask: Path | None = None
    moving_mask: Path | None = None
    preset: str = "inhale-exhale"
    config: Path | None = None
    regulariser: str | None = None
    refined: bool = True
    symmetric: bool = False
    device: str = "auto"
    seed: int = 0

    @cached_property
    def settings(self) -> RegistrationConfig:
        """All settings. Raises InputError, which names the file where a setting in it is wrong."""
        settings = settings_of(self.preset, self.config, self.regulariser, self.refined)
        return replace(settings, symmetric=self.symmetric or settings.symmetric)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What is known before the work: of the program, the settings and the inputs. Raises InputError."""
        files = {role: getattr(self, role) for role in ROLES}
        settings = {"preset": self.preset, "config_file": self.config and str(self.config)}
        return identity_of(files, self.settings, self.seed) | settings

    def check(self) -> None:
        """Raise InputError for all that can be seen to be wrong before an image is read."""
        _ = self.settings
        choose_device(self.device)
        require_writable(self.out, folder=True)
        for folder in (self.fixed, self.moving):
            if self.out.resolve() == folder.resolve():
                raise InputError(f"{self.out}: a folder of its own needed for the result, found that of an input")
        _ = self.record  # the inputs as they are now, not as they are when the work is done

    def is_done(self) -> bool:
        """Whether OUT holds the finished result of this very job. Raises InputError where it is that of another."""
        found = read_record(self.out)
        if found is None:
            return False
        if not is_same(found, self.record):
            raise InputError(f"{self.out}: holds {RECORD} of other images or settings; --force replaces that result")
        return is_whole(self.out, self.settings.symmetric)


@dataclass(frozen=True, eq=False)
class Finished:
    """A registration that was done and written."""

    registration: Registration
    seconds: float  # reading and computing

    def summary(self, out: Path) -> str:
        """The closing line, with what shows whether the result can be trusted."""
        quality = self.registration.quality
        return (
            f"registered in {self.seconds:.1f} s: image similarity in the lung "
            f"{quality.similarity_before:.3f} -> {quality.similarity_after:.3f} (1 is equal), "
            f"folding {quality.folding_percent:.2f} %, mean Jacobian {quality.mean_jacobian:.3f} "
            f"(ratio of the lung volumes {quality.volume_ratio:.3f}); result in {out}"
        )


def fulfil(job: Job, force: bool, quiet: bool) -> bool:
    """Does the job, unless it is done, and says so; whether there are warnings about the result. Raises InputError."""
    job.check()
    with claim(job.out):
        if not force and job.is_done():
            say(f"nothing to do: {job.out} already holds the result of these images and settings")
        else:
            finished = perform(job, quiet)
            if not quiet:
                say(finished.summary(job.out))
        return remark(job.out)


def perform(job: Job, quiet: bool) -> Finished:
    """Register and write the result, in place of an earlier one only when the new one is complete."""
    start = time.perf_counter()
    require_memory(job.fixed, job.moving, job.settings, choose_device(job.device))
    _begin_imports(job.settings)
    with progress_bar(quiet) as progress:
        pair = read_pair(job.fixed, job.moving, job.fixed_mask, job.moving_mask)
        try:
            done = register(pair, config=job.settings, device=job.device, seed=job.seed, progress=progress)
        except InputError as error:
            raise InputError(_naming_files(str(error), job)) from error
    finished = Finished(done, time.perf_counter() - start)
    _write(job, finished, pair)
    if done.parts > 1:
        warn(f"the memory of the GPU did not suffice until the work was done in parts {done.parts} times smaller")
    return finished


def remark(out: Path) -> bool:
    """Says why the result in a folder should not be trusted; whether there is anything to say."""
    found = (read_record(out) or {}).get("warnings", [])
    for doubt in found:
        warn(doubt["reason"])
    return bool(found)


def _begin_imports(settings: RegistrationConfig) -> None:
    """Loads what the network needs while the images are read and looked at: torch-geometric takes seconds."""
    if settings.regulariser == "graphregnet":
        Thread(target=import_module, args=("graphreg.regularisers.networks",), daemon=True).start()


def _naming_files(message: str, job: Job) -> str:
    """The message with the file in place of the words of the library."""
    for words, file in (("fixed image", job.fixed), ("moving image", job.moving)):
        if message.startswith(words):
            return f"{file}{message.removeprefix(words)}"
    return f"{job.fixed} and {job.moving}: {message}"


def _write(job: Job, finished: Finished, pair: ImagePair) -> None:
    done = finished.registration
    record = job.record | {"seconds": finished.seconds} | done.account()
    write_result(job.out, done.field, done.warp(pair.moving), done.keypoints, record, done.backward)
