"""Stage 7: passes of refinement for this one pair, each by its name in TOML."""

from graphreg.refinement.dense import DenseRefinement
from graphreg.refinement.keypoints import KeypointRefinement

__all__ = ["REFINEMENTS", "DenseRefinement", "KeypointRefinement"]

REFINEMENTS = {"keypoints": KeypointRefinement, "dense": DenseRefinement}
