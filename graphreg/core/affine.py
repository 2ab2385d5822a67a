"""Affine motions of points in mm."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Affine:
    """Motion y = A x + t of points in mm (x, y, z), fixed -> moving. Raises ValueError where it cannot be undone."""

    matrix: Tensor  # (3, 3) float64, A
    offset_mm: Tensor  # (3,) float64, t

    def __post_init__(self) -> None:
        shapes = (tuple(self.matrix.shape), tuple(self.offset_mm.shape))
        if shapes != ((3, 3), (3,)):
            raise ValueError(f"An affine motion needs a matrix (3, 3) and an offset (3,), got {shapes[0]}, {shapes[1]}")
        dtypes = (self.matrix.dtype, self.offset_mm.dtype)
        if dtypes != (torch.float64, torch.float64):
            raise ValueError(f"An affine motion must be float64, got {dtypes[0]}, {dtypes[1]}")
        if not (torch.isfinite(self.matrix).all() and torch.isfinite(self.offset_mm).all()):
            raise ValueError("An affine motion must be finite, got NaN or infinity")
        if not (determinant := float(torch.linalg.det(self.matrix))) > 0:
            raise ValueError(f"An affine motion must have a positive determinant, got {determinant:.3g}")

    def __call__(self, points_mm: Tensor) -> Tensor:
        """Points (..., 3) of the fixed image to the moving image, both in mm."""
        return points_mm @ self.matrix.T.to(points_mm) + self.offset_mm.to(points_mm)

    def inverse(self) -> Self:
        """The motion moving -> fixed."""
        matrix = torch.linalg.inv(self.matrix)
        return type(self)(matrix, -matrix @ self.offset_mm)

    def __matmul__(self, inner: "Affine") -> Self:
        """The motion x -> self(inner(x))."""
        return type(self)(self.matrix @ inner.matrix, self.matrix @ inner.offset_mm + self.offset_mm)

    @classmethod
    def identity(cls) -> Self:
        """The motion that moves nothing."""
        return cls(torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
