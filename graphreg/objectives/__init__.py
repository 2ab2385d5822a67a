"""Stage 7: what a refinement makes small, each by its name."""

from graphreg.objectives.cost_cubes import CostCubes, CubeConfig
from graphreg.objectives.features import FeatureConfig, FeatureDifference
from graphreg.objectives.protocol import Objective

__all__ = ["CostCubes", "CubeConfig", "FeatureConfig", "FeatureDifference", "Objective"]
