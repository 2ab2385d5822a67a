"""What every test may ask for: a seeded generator, a result, scans of a phantom, a folder to work in, a device."""

import math
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from support.problems import LARGER, OBLIQUE, noise, points_inside
from support.program import FAST, LIGHT, program

from graphreg.core.records import DenseField, Displacements, Keypoints, Volume

settings.register_profile("graphreg", deadline=None, derandomize=True, max_examples=20, database=None)
settings.load_profile("graphreg")

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell takes away from what it runs with &

torch.set_num_threads(1)  # for arrays so small, threads on a busy machine only wait for one another


@pytest.fixture
def generator() -> torch.Generator:
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(20240)


@pytest.fixture
def knots_mm(generator: torch.Generator) -> torch.Tensor:
    """Points (60, 3) inside LARGER, without any order."""
    return points_inside(LARGER, 60, generator)


@pytest.fixture
def result(generator: torch.Generator) -> tuple[DenseField, Volume, Displacements, dict[str, object]]:
    """Field, warped image, keypoints and record of a result."""
    points_mm = points_inside(OBLIQUE, 5, generator)
    keypoints = Displacements(Keypoints(points_mm), torch.ones(5, 3).double(), torch.full((5,), 0.5))
    field = DenseField(OBLIQUE, torch.randn(3, *OBLIQUE.shape, generator=generator))
    return field, noise(LARGER, generator), keypoints, {"a": (1, math.nan)}


def phantom_in(folder: Path, fixed_mm: int, moving_mm: int) -> Path:
    """The folder, with a phantom in ph and settings that suit it in fast.toml and light.toml."""
    command = ("phantom", "-o", "ph", "--seed", 1, "--spacing", fixed_mm, moving_mm)
    code, _, err = program(*command, cwd=folder)
    assert (code, err) == (0, "")
    (folder / "fast.toml").write_text(FAST)
    (folder / "light.toml").write_text(LIGHT)
    return folder


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a coarse phantom. Nobody writes to it."""
    return phantom_in(tmp_path_factory.mktemp("phantom"), 4, 5)


@pytest.fixture(scope="session")
def coarser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one that is even coarser."""
    return phantom_in(tmp_path_factory.mktemp("coarser"), 5, 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the tests of a module share, which write to names of their own."""
    return tmp_path_factory.mktemp("folder")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder that ``here`` works in; modules put their own in its place."""
    return tmp_path


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place, as the working directory."""
    monkeypatch.chdir(place)
    return place


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device there is."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)
