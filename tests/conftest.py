"""What every test may ask for: a seeded generator, a device."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings
from problems import FAST

from graphreg.cli import main

settings.register_profile("graphreg", deadline=None, derandomize=True, max_examples=20, database=None)
settings.load_profile("graphreg")

torch.set_num_threads(1)  # for arrays so small, threads on a busy machine only wait for one another


@pytest.fixture
def generator() -> torch.Generator:
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(20240)


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
