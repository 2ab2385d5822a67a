"""Stage 7: what every objective is: parameters of a motion in, a number that should be small out."""

from typing import Protocol

import torch
from torch import Tensor


class Objective(Protocol):
    """How badly parameters, displacements in mm, fit; differentiable."""

    def start(self) -> Tensor:
        """The parameters that stand for the motion as it is."""
        ...

    def __call__(self, parameters: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The value, of a random part of the data where a generator is given, else always of the same."""
        ...
