"""How a network is fitted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphreg.core.errors import InputError
from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class FitConfig(Settings):
    """How a network is fitted. Raises InputError where a number is out of range."""

    architecture: str = "unrolled"
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the architecture
    steps: int = 6000
    rate: float = 3e-3  # of Adam, at its highest
    decay: float = 1e-3  # of the weights
    warm_up: int = 50  # steps to the highest rate
    keypoints: int = 600  # shown at once
    check_every: int = 500  # steps between validations
    patience: int = 12  # validations without a better one after which it ends
    seed: int = 0
    mixed_precision: bool = False

    def check(self) -> None:
        for name in ("steps", "rate", "keypoints", "check_every", "patience"):
            if not getattr(self, name) > 0:
                raise InputError(f"training.{name} must be positive, got {getattr(self, name)}")
