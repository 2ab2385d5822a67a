"""Stage 6: keypoint displacements to a dense field.  Displacements, grid -> DenseField

Free-form deformation (Rueckert et al. 1999): a lattice of control points phi, between them cubic B-splines B, fitted to
the displacements v_i of the keypoints p_i, of confidence c_i, by penalised weighted least squares:

    sum_i c_i |v_i - (B phi)(p_i)|^2 / sum_i c_i  +  s E(phi),

where E is the bending energy, the mean over the lattice of the squared second derivatives. An affine motion does not
bend and is reproduced on the lattice, which ends MARGIN steps beyond the keypoints; farther out the value at its border
goes on, so that only a constant motion is reproduced everywhere. Ripples of a wavelength below 2 pi s^(1/4) are mostly
smoothed away; a thin plate of smoothness t mm does the same as s = t V / (8 pi sum_i c_i) in a volume V.
``b_spline_fit`` solves the equations.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphreg.core.errors import InputError
from graphreg.core.grid import Grid
from graphreg.core.lattice import cubic_basis, transfer
from graphreg.core.records import DenseField, Displacements
from graphreg.core.settings import Settings, require
from graphreg.interpolation.b_spline_fit import fit
from graphreg.runtime.chunks import single_thread

MARGIN = 2  # steps of the control lattice around the keypoints
MOST_CONTROLS = 2_000_000
DESIGN = 2 * 64 * 12  # bytes per keypoint: weights of 64 control points and which they are, by rows and by columns


@dataclass(frozen=True, kw_only=True)
class BSpline(Settings):
    """Interpolator. Raises InputError where a number is out of range."""

    control_mm: float = 6.0  # distance of the control points
    smoothness: float = 1000.0  # s in mm^4

    def check(self) -> None:
        fine = self.control_mm > 0 and self.smoothness > 0
        require(fine, "b_spline needs control_mm and smoothness above 0", (self.control_mm, self.smoothness))

    def least_bytes(self, keypoints: float) -> float:
        """Memory that so many keypoints take at least."""
        return DESIGN * keypoints

    def __call__(self, displacements: Displacements, grid: Grid) -> DenseField:
        """Displacement at every voxel of a grid; fitted on the CPU in float64, whatever the device.

        Raises:
            InputError: fewer than four keypoints, all in one plane, too many control points, or a smoothness so small
                that the keypoints do not tell them all.
        """
        points_mm, vectors_mm, confidence = (
            values.detach().cpu().double()
            for values in (displacements.keypoints.points_mm, displacements.vectors_mm, displacements.confidence)
        )
        control = _control_grid(points_mm, grid, self.control_mm)
        with single_thread():
            affine = _affine_part(points_mm, vectors_mm, confidence)
            bent_mm = vectors_mm - affine(points_mm)
            where = control.to_index(points_mm)
            phi = fit(where, bent_mm, confidence, control.shape, self.control_mm, self.smoothness)
        phi += affine(control.points_mm(phi)).movedim(-1, 0)  # a straight line runs through its own control points
        return DenseField(grid, transfer(phi.to(displacements.vectors_mm), control, grid, (_kernel,) * 3))


class _AffinePart:
    """The displacement a + B x that fits best; what is left has no scale that the solver would take for its own."""

    def __init__(self, centre_mm: Tensor, coefficients: Tensor) -> None:
        self._centre_mm, self._coefficients = centre_mm, coefficients  # (3,), (4, 3)

    def __call__(self, points_mm: Tensor) -> Tensor:
        return (points_mm - self._centre_mm) @ self._coefficients[:3] + self._coefficients[3]


def _affine_part(points_mm: Tensor, vectors_mm: Tensor, confidence: Tensor) -> _AffinePart:
    weights = confidence[:, None] / confidence.sum()
    centre_mm = (weights * points_mm).sum(0)
    rows = torch.cat((points_mm - centre_mm, torch.ones_like(weights)), 1)
    spread = torch.linalg.eigvalsh(rows[:, :3].T @ rows[:, :3])
    if bool(spread[0] <= 1e-10 * spread[2]):
        raise InputError(f"A spline needs at least 4 keypoints that are not in one plane, got {len(points_mm)}")
    weighted = weights * rows
    return _AffinePart(centre_mm, torch.linalg.solve(weighted.T @ rows, weighted.T @ vectors_mm))


def _control_grid(points_mm: Tensor, grid: Grid, control_mm: float) -> Grid:
    """Control points along the axes of a grid, around the keypoints; one more to every side than there are knots."""
    axes = Grid((1, 1, 1), (control_mm,) * 3, grid.origin_mm, grid.direction)
    index = axes.to_index(points_mm)
    low, high = index.amin(0) - MARGIN, index.amax(0) + MARGIN
    intervals = (high - low).ceil()
    first = (low + high - intervals) / 2 - 1
    depth, height, width = (int(n) + 3 for n in intervals.tolist())
    if depth * height * width > MOST_CONTROLS:
        need = f"b_spline.control_mm must be so large that {MOST_CONTROLS} control points do"
        raise InputError(f"{need}, got {control_mm} mm, which asks for {depth} x {height} x {width}")
    return axes.cropped(first.tolist(), (depth, height, width))


def _kernel(size: int, where: Tensor) -> Tensor:
    """Weights (M, N) of control points along an axis; beyond the outer knots the value there goes on."""
    return cubic_basis(where.clamp(1, size - 2)[:, None] - torch.arange(size, dtype=where.dtype))
