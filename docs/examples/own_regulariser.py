"""A regulariser of one's own: the median of what a keypoint and its neighbours want.

Any object with the method of ``graphreg.core.protocols.Regulariser`` does; nothing has to be registered.

    python docs/examples/own_regulariser.py
"""

from dataclasses import dataclass, replace

import torch

from graphreg import PRESETS, RegistrationConfig, make_phantom, register, tre
from graphreg.core.cubes import confidence, soft_argmin
from graphreg.core.records import CostVolume, Displacements, KeypointGraph
from graphreg.core.settings import Settings
from graphreg.phantom import PhantomConfig


@dataclass(frozen=True, kw_only=True)
class NeighbourMedian(Settings):
    """Componentwise median over each keypoint and its neighbours."""

    data_weight: float = 200.0  # of the costs in the exponent of the soft minimum

    def __call__(self, costs: CostVolume, graph: KeypointGraph) -> Displacements:
        """One displacement (N, 3) in mm for each keypoint."""
        alone, variance = soft_argmin(costs.costs * self.data_weight, costs.step_mm)
        source, target = graph.edge_index  # neighbour -> centre
        own = torch.arange(len(alone))
        wanted = [alone[torch.cat((source[target == k], own[k : k + 1]))].median(0).values for k in own]
        return Displacements(costs.keypoints, torch.stack(wanted), confidence(variance, costs.step_mm))


def main(config: RegistrationConfig = PRESETS["fast"], scans: PhantomConfig = PhantomConfig()) -> float:
    """Mean landmark error in mm of a phantom that is registered with it."""
    phantom = make_phantom(config=scans)
    levels = tuple(replace(level, regulariser=NeighbourMedian()) for level in config.levels)
    result = register(phantom.pair, config=replace(config, levels=levels))
    return float(tre(result.field, phantom.landmarks).mean())


if __name__ == "__main__":
    print(f"{main():.2f} mm")  # noqa: T201  # an example shows what it does
