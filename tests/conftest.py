"""What every test may ask for: a seeded generator, a result, a phantom, a device."""

import math
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from support.problems import FAST, LARGER, OBLIQUE, noise, points_inside

from graphreg.cli import main
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
def result(generator: torch.Generator) -> tuple[DenseField, Volume, Displacements, dict[str, object]]:
    """Field, warped image, keypoints and record of a result."""
    points_mm = points_inside(OBLIQUE, 5, generator)
    keypoints = Displacements(Keypoints(points_mm), torch.ones(5, 3).double(), torch.full((5,), 0.5))
    field = DenseField(OBLIQUE, torch.randn(3, *OBLIQUE.shape, generator=generator))
    return field, noise(LARGER, generator), keypoints, {"a": (1, math.nan)}


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a coarse phantom in ph, and in fast.toml settings that suit it. Nobody writes to it."""
    folder = tmp_path_factory.mktemp("phantom")
    (folder / "fast.toml").write_text(FAST)
    assert main(["phantom", "-o", f"{folder}/ph", "--seed", "1", "--spacing", "4", "5"]) == 0
    return folder


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device there is."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)
