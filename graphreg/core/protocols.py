"""What every role of the algorithm is: one method each, in the order in which they work.

A way to fill a role is a frozen record of settings with that method. It may be an object of one's own: nothing has to
be inherited or registered to be passed in Python; a line in the registry of its folder gives it a name for TOML.
"""

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from graphreg.core.affine import Affine
from graphreg.core.grid import Grid
from graphreg.core.intensities import IntensityWindow
from graphreg.core.records import (
    CostVolume,
    DenseField,
    Displacements,
    FeatureVolume,
    KeypointGraph,
    Keypoints,
    Subject,
    Volume,
)

if TYPE_CHECKING:
    from graphreg.core.estimate import Estimate, Trace
    from graphreg.core.prepared import PreparedPair


class Prealigner(Protocol):
    """Stage 0: where the search starts from."""

    def __call__(self, fixed: Subject, moving: Subject, start: Affine) -> Affine:
        """An affine motion fixed -> moving in mm; ``start`` is what the steps before found. Raises InputError."""
        ...


class Sampler(Protocol):
    """Stage 1: where to look."""

    def __call__(self, volume: Volume, mask: Tensor) -> Keypoints:
        """Points (N, 3) in mm inside a mask (D, H, W) bool on the grid of the volume. Raises InputError for too few."""
        ...


class Features(Protocol):
    """Stage 2: what is compared."""

    def __call__(self, volume: Volume, mask: Tensor) -> FeatureVolume:
        """Features (C, D, H, W) of a volume on an isotropic grid; the mask (D, H, W) bool is what matters of it."""
        ...


class Matcher(Protocol):
    """Stage 3: how well every displacement of a cube fits."""

    @property
    def radius_mm(self) -> float:
        """Largest displacement per axis."""
        ...

    @property
    def step_mm(self) -> float:
        """Distance of neighbouring labels."""
        ...

    def __call__(
        self, fixed: FeatureVolume, moving: FeatureVolume, keypoints: Keypoints, weights: Tensor
    ) -> CostVolume:
        """Costs (N, L, L, L); both features on one isotropic grid, on which weights (D, H, W) >= 0 say what counts."""
        ...


class Connector(Protocol):
    """Stage 4: which keypoints influence one another."""

    def __call__(self, keypoints: Keypoints) -> KeypointGraph:
        """Edges (2, E), neighbour -> centre. Raises InputError where there are too few keypoints."""
        ...


class Regulariser(Protocol):
    """Stage 5: noisy costs on a graph to coherent displacements."""

    def __call__(self, costs: CostVolume, graph: KeypointGraph) -> Displacements:
        """One displacement (N, 3) in mm and one confidence (N,) for each keypoint."""
        ...


class Interpolator(Protocol):
    """Stage 6: displacements of keypoints to a dense field."""

    def __call__(self, displacements: Displacements, grid: Grid) -> DenseField:
        """Displacement (3, D, H, W) in mm at every voxel of a grid."""
        ...


class Refinement(Protocol):
    """Stage 7: one pass for this pair."""

    @property
    def name(self) -> str:
        """By which its trace is told, and which settings are its own."""
        ...

    def __call__(self, estimate: "Estimate", pair: "PreparedPair", seed: int) -> tuple["Estimate", "Trace"]:
        """A better estimate, and its objective from the start on; the seed is that of random draws."""
        ...


class RegionFinder(Protocol):
    """Of an anatomy: the region of an image to look at."""

    def __call__(self, volume: Volume) -> Tensor:
        """A mask (D, H, W) bool on the grid of the volume. Raises InputError where the image does not show it."""
        ...


class Window(Protocol):
    """Of an anatomy: the intensities that tell something."""

    def __call__(self, volume: Volume, mask: Tensor | None = None) -> IntensityWindow:
        """That of an image, by the region (D, H, W) bool in it where it depends on that."""
        ...
