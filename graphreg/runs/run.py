"""One registration from files to files: what the command line and studies do alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from graphreg.config import RegistrationConfig
from graphreg.core.errors import InputError
from graphreg.core.records import ImagePair
from graphreg.io import read_pair
from graphreg.io.files import require_writable
from graphreg.pipeline import Registration, register
from graphreg.regularisers import GraphRegNet
from graphreg.runs.identity import ROLES, identity_of, is_same
from graphreg.runs.requirements import require_memory
from graphreg.runs.results import RECORD, is_whole, read_record, write_result
from graphreg.runtime.devices import choose_device
from graphreg.runtime.monitor import Progress


@dataclass(frozen=True, eq=False)
class Finished:
    """A registration that was done and written."""

    registration: Registration
    seconds: float  # reading and computing


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A registration as somebody asked for it."""

    inputs: Mapping[str, Path]  # by role: fixed, moving, and as wanted fixed_mask, moving_mask
    out: Path  # folder for the result
    config: RegistrationConfig
    device: str = "auto"
    seed: int = 0
    remarks: Mapping[str, Any] = field(default_factory=dict)  # that its record shall hold besides
    read: Callable[[], ImagePair] | None = None  # of files that need another reader

    @cached_property
    def record(self) -> dict[str, Any]:
        """What is known before the work: of the program, the settings and the inputs. Raises InputError."""
        files = {role: self.inputs.get(role) for role in ROLES}
        return identity_of(files, self.config, self.seed) | dict(self.remarks)

    def check(self) -> None:
        """Raise InputError for all that can be seen to be wrong before an image is read."""
        choose_device(self.device)
        require_writable(self.out, folder=True)
        for folder in (self.inputs["fixed"], self.inputs["moving"]):
            if self.out.resolve() == folder.resolve():
                raise InputError(f"{self.out}: a folder of its own needed for the result, found that of an input")
        _ = self.record  # the inputs as they are now, not as they are when the work is done

    def is_finished(self) -> bool:
        """Whether the folder holds the whole result of this very run."""
        return is_same(read_record(self.out), self.record) and is_whole(self.out, self.config.symmetric)

    def require_no_other(self) -> None:
        """Raise InputError where the folder holds the result of another run."""
        found = read_record(self.out)
        if found is not None and not is_same(found, self.record):
            raise InputError(f"{self.out}: holds {RECORD} of other images or settings; --force replaces that result")

    def perform(self, progress: Progress | None = None) -> Finished:
        """Register and write the result, in place of an earlier one only when the new one is complete.

        Raises:
            InputError: a file cannot be used, or what is in it cannot be registered.
        """
        start = time.perf_counter()
        record = self.record
        require_memory(self.inputs["fixed"], self.inputs["moving"], self.config, choose_device(self.device))
        self._begin_imports()
        pair = self.read() if self.read else self._read_files()
        done = self._register(pair, progress)
        seconds = time.perf_counter() - start
        account = record | {"seconds": seconds} | done.account()
        write_result(self.out, done.field, done.warp(pair.moving), done.keypoints, account, done.backward)
        return Finished(done, seconds)

    def _read_files(self) -> ImagePair:
        masks = (self.inputs.get(role) for role in ("fixed_mask", "moving_mask"))
        return read_pair(self.inputs["fixed"], self.inputs["moving"], *masks)

    def _register(self, pair: ImagePair, progress: Progress | None) -> Registration:
        try:
            return register(pair, config=self.config, device=self.device, seed=self.seed, progress=progress)
        except InputError as error:
            file = self.inputs[error.image] if error.image else f"{self.inputs['fixed']} and {self.inputs['moving']}"
            raise type(error)(f"{file}: {error.reason}") from error

    def _begin_imports(self) -> None:
        """Loads what a network needs while the images are read and looked at: torch-geometric takes seconds."""
        if any(isinstance(level.regulariser, GraphRegNet) for level in self.config.levels):
            Thread(target=import_module, args=("graphreg.regularisers.networks",), daemon=True).start()
