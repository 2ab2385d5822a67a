"""The values that travel between stages: frozen, checked once when made, units in the field names.

Points are (x, y, z) in LPS millimetres, arrays are (D, H, W), motion runs fixed -> moving.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from graphreg.core import foreign
from graphreg.core.errors import InputError
from graphreg.core.grid import IDENTITY, Grid, Triple, sample

Motion = Callable[[Tensor], Tensor]  # points (..., 3) mm of the fixed image -> (..., 3) mm of the moving image


def _require(condition: bool, need: str, got: object) -> None:
    if not condition:
        raise ValueError(f"{need}, got {got}")


def _require_mask(mask: Tensor, grid: Grid, name: str) -> None:
    _require(mask.dtype == torch.bool, f"{name} must be boolean", mask.dtype)
    _require(tuple(mask.shape) == grid.shape, f"{name} must be {grid.shape}", tuple(mask.shape))
    _require(bool(mask.any()), f"{name} must hold at least one voxel", "an empty mask")


def _require_points(points_mm: Tensor, name: str) -> None:
    shape = tuple(points_mm.shape)
    _require(points_mm.ndim == 2 and shape[1] == 3, f"{name} must be (N, 3) in mm (x, y, z)", shape)
    _require(points_mm.is_floating_point(), f"{name} must be floating point", points_mm.dtype)
    _require(bool(torch.isfinite(points_mm).all()), f"{name} must be finite", "NaN or infinity")


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar image. Raises ValueError where the data does not fit the grid or is not finite."""

    grid: Grid
    data: Tensor  # (D, H, W), intensities
    stored: str | None = None  # numpy name of the type of its voxels in the file, kept when it is written

    def __post_init__(self) -> None:
        _require(tuple(self.data.shape) == self.grid.shape, f"Volume data must be {self.grid.shape}", self.data.shape)
        _require(self.data.is_floating_point(), "Volume data must be floating point", self.data.dtype)
        ends = torch.stack(self.data.aminmax())  # NaN shows in both
        _require(bool(torch.isfinite(ends).all()), "Volume data must be finite", "NaN or infinity")
        kinds = foreign.STORED
        _require(self.stored in (None, *kinds), f"The stored type must be one of {', '.join(kinds)}", self.stored)

    @classmethod
    def from_sitk(cls, image: Any) -> Self:
        """Of a scalar 3-D image of SimpleITK. Raises InputError."""
        return cls(*foreign.of_sitk(image))

    @classmethod
    def from_numpy(cls, array: Any, spacing: Triple, origin: Triple = (0, 0, 0), direction: Any = IDENTITY) -> Self:
        """Of an array (D, H, W); spacing, origin in mm (x, y, z) and axes in columns: LPS. Raises InputError."""
        return cls(*foreign.of_array(array, spacing, origin, direction))

    @classmethod
    def from_nibabel(cls, image: Any) -> Self:
        """Of an image of nibabel, whose affine leads to RAS mm without shear. Raises InputError."""
        return cls(*foreign.of_nibabel(image))

    def to_sitk(self) -> Any:
        """An image of SimpleITK, in the type that is stored."""
        return foreign.to_sitk(self.grid, foreign.storable(self.data, self.stored))

    def to_numpy(self) -> foreign.Numbers:
        """A copy of the intensities (D, H, W), floats."""
        return self.data.detach().cpu().numpy().copy()

    def within(self, mask: Tensor) -> Tensor:
        """Values (N,) of the voxels in a mask (D, H, W) bool, in its order.

        Raises ValueError where the mask has another shape.
        """
        _require(mask.shape == self.data.shape, f"Mask must be {self.grid.shape}", tuple(mask.shape))
        planes = zip(self.data, mask, strict=True)  # indices of all voxels at once take six times the image
        return torch.cat([plane[inside] for plane, inside in planes])


@dataclass(frozen=True, eq=False)
class Subject:
    """One image of a pair with the region to look at."""

    image: Volume
    mask: Tensor  # (D, H, W) bool on its grid, at least one voxel

    def __post_init__(self) -> None:
        _require_mask(self.mask, self.image.grid, "The mask")


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Two images, and the regions to look at; None means that the anatomy finds the region."""

    fixed: Volume
    moving: Volume
    fixed_mask: Tensor | None = None  # (D, H, W) bool, on the grid of fixed
    moving_mask: Tensor | None = None  # (D, H, W) bool, on the grid of moving

    def __post_init__(self) -> None:
        for name, mask, volume in (("fixed", self.fixed_mask, self.fixed), ("moving", self.moving_mask, self.moving)):
            if mask is not None:
                _require_mask(mask, volume.grid, f"The {name} mask")


@dataclass(frozen=True, eq=False)
class FeatureVolume:
    """Descriptors at every voxel."""

    grid: Grid
    data: Tensor  # (C, D, H, W)

    def __post_init__(self) -> None:
        _require(self.data.ndim == 4, "Features must be (C, D, H, W)", tuple(self.data.shape))
        shape = tuple(self.data.shape[1:])
        _require(shape == self.grid.shape, f"Features must be (C, *{self.grid.shape})", tuple(self.data.shape))

    def require_channels_of(self, moving: Self) -> None:
        """Raise InputError unless those of the moving image have as many channels as these of the fixed one."""
        counts = f"{len(self.data)} fixed and {len(moving.data)} moving"
        if len(self.data) != len(moving.data):
            raise InputError(f"features of both images must have the same number of channels, got {counts}")


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Distinctive points of the fixed image."""

    points_mm: Tensor  # (N, 3)

    def __post_init__(self) -> None:
        _require_points(self.points_mm, "Keypoints")

    def __len__(self) -> int:
        return self.points_mm.shape[0]


@dataclass(frozen=True, eq=False)
class CostVolume:
    """Dissimilarity of each keypoint's patch under every displacement of a cube of labels.

    The labels are a grid in displacement space: ``labels.points_mm`` are the displacements, zero at the centre.
    """

    keypoints: Keypoints
    labels: Grid  # (L, L, L), origin -radius
    costs: Tensor  # (N, L, L, L), axes (z, y, x) as in every array; mean squared descriptor difference

    def __post_init__(self) -> None:
        need = (len(self.keypoints), *self.labels.shape)
        _require(tuple(self.costs.shape) == need, f"Costs must be {need}", tuple(self.costs.shape))

    @property
    def step_mm(self) -> float:
        """Distance of neighbouring labels."""
        return self.labels.spacing_mm[0]

    @property
    def offsets_mm(self) -> Tensor:
        """Displacement (K, 3) of each label in the order of ``costs.flatten(1)``."""
        return self.labels.points_mm(self.costs).reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class KeypointGraph:
    """Neighbourhood of keypoints: each directed edge runs neighbour -> centre; none joins a point to itself."""

    keypoints: Keypoints
    edge_index: Tensor  # (2, E) int64, as in torch-geometric

    def __post_init__(self) -> None:
        shape = tuple(self.edge_index.shape)
        _require(len(shape) == 2 and shape[0] == 2, "Edges must be (2, E)", shape)
        inside = bool(((self.edge_index >= 0) & (self.edge_index < len(self.keypoints))).all())
        _require(inside, f"Edges must join keypoints 0 to {len(self.keypoints) - 1}", "an index beyond them")

    @property
    def lengths_mm(self) -> Tensor:
        """Length (E,) of each edge."""
        source, target = self.keypoints.points_mm[self.edge_index]
        return (source - target).norm(dim=1)

    @property
    def typical_mm(self) -> Tensor:
        """Median length () of the edges, not zero; 1 where there are none."""
        lengths = self.lengths_mm
        return lengths.median().clamp_min(1e-3) if len(lengths) else lengths.new_ones(())


@dataclass(frozen=True, eq=False)
class Displacements:
    """Motion of the keypoints: fixed point p matches moving point p + v."""

    keypoints: Keypoints
    vectors_mm: Tensor  # (N, 3)
    confidence: Tensor  # (N,) in (0, 1]; 1 is sure

    def __post_init__(self) -> None:
        _require_points(self.vectors_mm, "Displacements")
        need = (len(self.keypoints),)
        _require(
            tuple(self.vectors_mm.shape) == (*need, 3), f"Displacements must be {(*need, 3)}", self.vectors_mm.shape
        )
        _require(tuple(self.confidence.shape) == need, f"Confidence must be {need}", tuple(self.confidence.shape))
        valid = bool(((self.confidence > 0) & (self.confidence <= 1)).all())
        _require(valid, "Confidence must lie in (0, 1]", "a value beyond it or NaN")


@dataclass(frozen=True, eq=False)
class DenseField:
    """Motion at every voxel, and between voxels by linear interpolation: ``field(points_mm)`` maps fixed -> moving."""

    grid: Grid
    displacement_mm: Tensor  # (3, D, H, W), components (x, y, z)

    def __post_init__(self) -> None:
        need, got = (3, *self.grid.shape), tuple(self.displacement_mm.shape)
        _require(got == need, f"A displacement field must be {need}", got)

    def __call__(self, points_mm: Tensor) -> Tensor:
        """Points (..., 3) of the fixed image to the moving image, both in mm; the border value goes on outside."""
        where = points_mm.to(self.displacement_mm.device)
        return points_mm + sample(self.displacement_mm, self.grid, where).movedim(0, -1).to(points_mm)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Corresponding points that measure a registration."""

    fixed_mm: Tensor  # (M, 3)
    moving_mm: Tensor  # (M, 3)

    def __post_init__(self) -> None:
        _require_points(self.fixed_mm, "Fixed landmarks")
        _require_points(self.moving_mm, "Moving landmarks")
        counts = (len(self.fixed_mm), len(self.moving_mm))
        _require(counts[0] == counts[1], "Landmarks must come in pairs", f"{counts[0]} fixed and {counts[1]} moving")
