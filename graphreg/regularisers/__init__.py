"""Stage 5: regularisers, each by its name in TOML and on the command line."""

from collections.abc import Callable

from graphreg.core.protocols import Regulariser
from graphreg.regularisers.belief_propagation import BeliefPropagation
from graphreg.regularisers.graphregnet import GraphRegNet
from graphreg.regularisers.independent import Independent
from graphreg.regularisers.mean_field import MeanField

__all__ = ["REGULARISERS", "BeliefPropagation", "GraphRegNet", "Independent", "MeanField"]

REGULARISERS: dict[str, Callable[[], Regulariser]] = {
    "graphregnet": GraphRegNet,
    "belief-propagation": BeliefPropagation,
    "mean-field": MeanField,
    "none": Independent,
}
