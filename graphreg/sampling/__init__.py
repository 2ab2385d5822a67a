"""Stage 1: where to look, each way by its name in TOML."""

from graphreg.sampling.foerstner import Foerstner
from graphreg.sampling.lattice import Lattice
from graphreg.sampling.uniform import Uniform

__all__ = ["SAMPLERS", "Foerstner", "Lattice", "Uniform"]

SAMPLERS = {"foerstner": Foerstner, "uniform": Uniform, "lattice": Lattice}
