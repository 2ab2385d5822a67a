"""Stage 7: displacements for this one pair, by gradient descent.  objective -> parameters, trace

Adam (Kingma & Ba, ICLR 2015) on whatever an objective makes of its parameters. Some objectives look at a random part of
their data in each step; they are judged by what is always the same part, and the best parameters that were judged are
returned, be they those at the start.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.estimate import Trace
from graphreg.core.settings import Settings

Value = Callable[[Tensor, torch.Generator | None], Tensor]  # parameters, and for a random part of the data -> ()


@dataclass(frozen=True, kw_only=True)
class Descent(Settings):
    """How far and how fast. Raises InputError where a number is out of range."""

    iterations: int = 40
    rate_mm: float = 0.3  # of Adam, about the largest step; it falls to nothing, so that noise averages out
    check_every: int = 10  # iterations between judgements

    def check(self) -> None:
        for name in ("iterations", "rate_mm", "check_every"):
            if not getattr(self, name) > 0:
                raise InputError(f"refinement {name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where a descent ended."""

    parameters: Tensor  # the best that were judged
    trace: Trace  # objective at the start, then at every judgement


def minimise(
    objective: Value,
    start: Tensor,
    config: Descent = Descent(),
    seed: int = 0,
) -> Minimum:
    """Parameters with a lower objective than at the start, or those of the start where none is found."""
    generator = torch.Generator().manual_seed(seed)
    parameters = start.detach().clone().requires_grad_()
    adam = torch.optim.Adam([parameters], lr=config.rate_mm, betas=(0.9, 0.99))
    best, trace = start, [_judged(objective, start)]
    for step in range(1, config.iterations + 1):
        adam.zero_grad()
        with torch.enable_grad():
            objective(parameters, generator).backward()
        adam.param_groups[0]["lr"] = config.rate_mm * (1 - (step - 1) / config.iterations)
        adam.step()
        if step % config.check_every == 0 or step == config.iterations:
            value = _judged(objective, parameters)
            if value < min(trace):
                best = parameters.detach().clone()
            trace.append(value)
    return Minimum(best, tuple(trace))


@torch.no_grad()
def _judged(objective: Value, parameters: Tensor) -> float:
    return float(objective(parameters, None))
