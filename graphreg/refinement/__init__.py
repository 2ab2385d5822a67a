"""Stage 7: what a refinement makes small, each by its name."""

from graphreg.refinement.cost_cubes import CostCubes, CubeConfig
from graphreg.refinement.feature_difference import FeatureConfig, FeatureDifference
from graphreg.refinement.protocol import Objective

__all__ = ["CostCubes", "CubeConfig", "FeatureConfig", "FeatureDifference", "Objective"]
