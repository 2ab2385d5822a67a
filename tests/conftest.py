"""What every test may ask for: a seeded generator, a device."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("graphreg", deadline=None, derandomize=True, max_examples=20, database=None)
settings.load_profile("graphreg")

torch.set_num_threads(1)  # for arrays so small, threads on a busy machine only wait for one another


@pytest.fixture
def generator() -> torch.Generator:
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(20240)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device there is."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)
