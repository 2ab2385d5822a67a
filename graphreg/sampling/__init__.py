"""Stage 1: where to look, each way by its name in TOML."""

from collections.abc import Callable

from graphreg.core.protocols import Sampler
from graphreg.sampling.foerstner import Foerstner
from graphreg.sampling.lattice import Lattice
from graphreg.sampling.uniform import Uniform

__all__ = ["SAMPLERS", "Foerstner", "Lattice", "Uniform"]

SAMPLERS: dict[str, Callable[[], Sampler]] = {"foerstner": Foerstner, "uniform": Uniform, "lattice": Lattice}
