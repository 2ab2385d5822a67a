"""The peers, each in a published lung setting or near one: two scans and their lung masks to a field.

Run by ``peers.py`` as a process of its own, ``peer_methods.py METHOD PAIR OUT [--no-masks]``; writes OUT/transform.h5.
Each has a file ``peer_*.py`` with its settings and their source, and imports its package in the one function that needs
it, so that no method pays for the import of another.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
from peer_ants import ANTS, ants_syn
from peer_convexadam import CONVEX_ADAM, convexadam
from peer_demons import DEMONS, demons
from peer_elastix import ELASTIX, elastix
from peer_geometry import IDENTITY, START, Pair, Settings, read_pair, start_transform, write_field

Register = Callable[[Pair, Settings, Path], sitk.Transform]  # pair, settings, a folder to work in


@dataclass(frozen=True)
class Method:
    """One way to register a pair."""

    package: str  # its name on PyPI
    settings: Settings
    register: Register | None = None  # None: graphreg's own command line
    starts: bool = True  # from the affine alignment of the masks

    @property
    def record(self) -> Settings:
        """All that decides the result, as JSON keeps it."""
        return {**self.settings, "start": START} if self.starts else self.settings


def identity(pair: Pair, settings: Settings, work: Path) -> sitk.Transform:
    """No motion."""
    return IDENTITY


def start_only(pair: Pair, settings: Settings, work: Path) -> sitk.Transform:
    """The affine start of the peers alone."""
    return start_transform(pair)


METHODS = {
    "identity": Method("SimpleITK", {}, identity, starts=False),
    "affine-start": Method("SimpleITK", {}, start_only),
    "graphreg": Method("graphreg", {"preset": "inhale-exhale"}, starts=False),
    "graphreg-fast": Method("graphreg", {"preset": "fast"}, starts=False),
    "elastix": Method("itk-elastix", ELASTIX, elastix),
    "ants-syn": Method("antspyx", ANTS, ants_syn),
    "convexadam": Method("convexAdam", CONVEX_ADAM, convexadam),
    "demons": Method("SimpleITK", DEMONS, demons),
}


def main(name: str, folder: str, out: str, *options: str) -> None:
    """One registration."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(int(os.environ.get("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")))
    method = METHODS[name]
    if method.register is None:
        raise ValueError(f"'{name}' has a command line of its own")
    pair = read_pair(Path(folder), "--no-masks" not in options)
    with tempfile.TemporaryDirectory() as work:
        write_field(method.register(pair, method.settings, Path(work)), pair.fixed, Path(out) / "transform.h5")


if __name__ == "__main__":
    main(*sys.argv[1:])
