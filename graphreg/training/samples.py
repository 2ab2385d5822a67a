"""What the graph network learns from: one level's costs of one pair, and what is known of the motion that is left.

Pairs with known motion tell it at points all over the region; correspondences tell it at theirs; of a pair of which
nothing is known, such points have costs of their own, against which a motion is judged.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, Keypoints
from graphreg.io import atomic_path


@dataclass(frozen=True, eq=False)
class Sample:
    """Costs of some keypoints, and points at which their motion is judged."""

    level: str
    costs: CostVolume
    query_mm: Tensor  # (M, 3), in the fixed region
    target_mm: Tensor | None  # (M, 3), true displacement of each
    query_costs: Tensor | None = None  # (M, L, L, L), of those points where the truth is not known

    def save(self, path: Path) -> None:
        """Writes the sample; costs are kept in half precision."""
        labels = self.costs.labels
        tensors = {
            "points_mm": self.costs.keypoints.points_mm.double(),
            "costs": self.costs.costs.half(),
            "query_mm": self.query_mm.double(),
        }
        if self.target_mm is not None:
            tensors["target_mm"] = self.target_mm.float()
        if self.query_costs is not None:
            tensors["query_costs"] = self.query_costs.half()
        metadata = {"level": self.level, "step_mm": repr(labels.spacing_mm[0])}
        with atomic_path(path) as temporary:
            temporary.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))

    @classmethod
    def load(cls, path: Path, device: torch.device = torch.device("cpu")) -> "Sample":
        """The sample of a file, its costs in half precision."""
        with safe_open(path, framework="pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            metadata = file.metadata()
        costs = tensors["costs"]
        side, step = costs.shape[1], float(metadata["step_mm"])
        labels = Grid((side,) * 3, (step,) * 3, (-step * (side // 2),) * 3)
        return cls(
            metadata["level"],
            CostVolume(Keypoints(tensors["points_mm"]), labels, costs),
            tensors["query_mm"],
            tensors.get("target_mm"),
            tensors.get("query_costs"),
        )
