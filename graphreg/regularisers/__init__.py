"""Stage 5: regularisers, each by its name."""

from graphreg.regularisers.belief_propagation import BeliefPropagation
from graphreg.regularisers.graphregnet import GraphRegNet
from graphreg.regularisers.independent import Independent
from graphreg.regularisers.mean_field import MeanField
from graphreg.regularisers.protocol import Regulariser

__all__ = ["BeliefPropagation", "GraphRegNet", "Independent", "MeanField", "Regulariser"]
