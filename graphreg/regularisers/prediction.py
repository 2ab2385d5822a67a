"""What a network says of each keypoint."""

from typing import NamedTuple

from torch import Tensor


class Prediction(NamedTuple):
    """Displacement and confidence; of evenly spread labels, l of the L per axis, each has a share of its belief."""

    vectors_mm: Tensor  # (N, 3)
    confidence: Tensor  # (N,) in (0, 1]
    beliefs: Tensor | None = None  # (N, l, l, l), share of each label of every (L - 1) / (l - 1)-th of the cube
