"""Pre-alignment of lung masks: ellipsoid lungs on anisotropic, non-cubic, offset grids."""

import pytest
import torch
from torch import Tensor

from graphreg.core.affine import Affine
from graphreg.core.grid import Grid
from graphreg.prealignment.masks import MaskAlignment, align_masks

GRID = Grid((60, 70, 60), (4.0, 2.5, 3.5), (-120.0, -90.0, -100.0))
SIZES_MM = torch.tensor([40.0, 60.0, 85.0], dtype=torch.float64)


def _lungs(grid: Grid, motion: Affine | None = None) -> Tensor:
    """Two ellipsoids of different height in the patient's space, moved."""
    points_mm = grid.points_mm(SIZES_MM)
    if motion is not None:
        points_mm = motion.inverse()(points_mm)
    mask = torch.zeros(grid.shape, dtype=torch.bool)
    for centre_mm, height in (((-60.0, 0.0, 0.0), 1.0), ((55.0, 5.0, 10.0), 0.8)):
        scaled = (points_mm - SIZES_MM.new_tensor(centre_mm)) / (SIZES_MM * SIZES_MM.new_tensor([1.0, 1.0, height]))
        mask |= scaled.norm(dim=-1) < 1
    return mask


def _affine(matrix: list[list[float]], offset_mm: list[float]) -> Affine:
    return Affine(torch.tensor(matrix, dtype=torch.float64), torch.tensor(offset_mm, dtype=torch.float64))


def _scaling(x: float, y: float, z: float, offset_mm: list[float]) -> Affine:
    return _affine([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]], offset_mm)


def _furthest_mm(found: Affine, truth: Affine) -> float:
    """Largest difference over the fixed lungs."""
    points_mm = GRID.to_mm(_lungs(GRID).nonzero().double())
    return float((found(points_mm) - truth(points_mm)).norm(dim=1).max())


def test_affine_runs_from_fixed_to_moving() -> None:
    motion = _affine([[0.0, -2.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 3.0]], [10.0, 20.0, 30.0])
    # by hand: x = 0*1 - 2*2 + 10, y = 1*1 + 20, z = 3*3 + 30
    moved_mm = motion(torch.tensor([[1.0, 2.0, 3.0]]))
    assert moved_mm.tolist() == [[6.0, 21.0, 39.0]]
    assert moved_mm.dtype == torch.float32
    assert motion.inverse()(moved_mm).tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("matrix", "offset_mm", "message"),
    [
        (torch.eye(2).double(), torch.zeros(3).double(), r"matrix \(3, 3\)"),
        (torch.eye(3), torch.zeros(3).double(), "float64"),
        (torch.eye(3).double(), torch.full((3,), torch.nan).double(), "finite"),
        (-torch.eye(3).double(), torch.zeros(3).double(), "positive determinant"),
    ],
)
def test_affine_refuses_what_is_no_motion(matrix: Tensor, offset_mm: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Affine(matrix, offset_mm)


def test_equal_masks_stay_put_and_a_translation_of_500_mm_between_world_frames_is_found() -> None:
    mask = _lungs(GRID)
    assert _furthest_mm(align_masks(mask, GRID, mask, GRID), _scaling(1, 1, 1, [0, 0, 0])) < 0.01
    truth = _scaling(1, 1, 1, [500.0, -300.0, 120.0])
    moving_grid = Grid((75, 80, 70), (3.5, 2.5, 3.0), (380.0, -400.0, 10.0))
    found = align_masks(_lungs(GRID), GRID, _lungs(moving_grid, truth), moving_grid)
    assert _furthest_mm(found, truth) < 0.5


def test_a_scale_of_the_breath_is_found_in_both_lungs_and_in_one() -> None:
    truth = _scaling(0.95, 0.9, 0.7, [5.0, -10.0, 20.0])
    found = align_masks(_lungs(GRID), GRID, _lungs(GRID, truth), GRID)
    assert _furthest_mm(found, truth) < 1.0
    assert found.matrix.diagonal().tolist() == pytest.approx([0.95, 0.9, 0.7], abs=0.01)
    part = Grid((60, 70, 30), GRID.spacing_mm, GRID.origin_mm)
    truth = _scaling(1.0, 0.95, 0.8, [3.0, 4.0, 10.0])
    found = align_masks(_lungs(part), part, _lungs(part, truth), part)
    points_mm = part.to_mm(_lungs(part).nonzero().double())
    assert float((found(points_mm) - truth(points_mm)).norm(dim=1).max()) < 1.5


def test_without_steps_there_is_only_translation_and_scale() -> None:
    truth = _affine([[0.95, 0.1, 0.0], [0.0, 0.9, 0.0], [0.0, 0.0, 0.8]], [0.0, 0.0, 0.0])
    moving = _lungs(GRID, truth)
    rough = align_masks(_lungs(GRID), GRID, moving, GRID, MaskAlignment(steps=0))
    assert torch.equal(rough.matrix, rough.matrix.diagonal().diag())
    assert _furthest_mm(align_masks(_lungs(GRID), GRID, moving, GRID), truth) < _furthest_mm(rough, truth)


def test_the_answer_ignores_storage_direction() -> None:
    """The same voxels at the same places, stored from the other end along x and y."""
    truth = _scaling(0.95, 0.9, 0.8, [5.0, -10.0, 20.0])
    fixed, moving = _lungs(GRID), _lungs(GRID, truth)
    x, y, z = GRID.to_mm(torch.tensor([0.0, 69.0, 59.0], dtype=torch.float64)).tolist()
    flipped = Grid(GRID.shape, GRID.spacing_mm, (x, y, z), ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)))
    found = align_masks(fixed, GRID, moving, GRID)
    assert _furthest_mm(align_masks(fixed, GRID, moving.flip(1, 2), flipped), found) < 0.01


def test_a_lung_cut_by_the_scan_is_not_stretched_over_the_missing_part() -> None:
    mask = _lungs(GRID)
    cut = slice(16, None)  # the lowest 41 of 170 mm are missing
    moving_grid = GRID.cropped((16, 0, 0), (44, 70, 60))
    still = _scaling(1, 1, 1, [0, 0, 0])
    found = align_masks(mask, GRID, mask[cut], moving_grid)
    moments = align_masks(mask, GRID, mask[cut], moving_grid, MaskAlignment(steps=0))
    assert _furthest_mm(moments, still) > 15
    assert _furthest_mm(found, still) < 6


def test_empty_and_misfitting_masks_are_refused() -> None:
    mask = _lungs(GRID)
    with pytest.raises(ValueError, match="moving mask must hold at least one voxel"):
        align_masks(mask, GRID, torch.zeros_like(mask), GRID)
    with pytest.raises(ValueError, match=r"fixed mask must be bool \(60, 70, 60\)"):
        align_masks(mask[1:], GRID, mask, GRID)
    with pytest.raises(ValueError, match="limits of the scale"):
        MaskAlignment(scale=(1.1, 2.0))


@pytest.mark.parametrize("size", [1, 3, 40])
def test_masks_that_are_a_speck_or_fill_their_scan_are_still_aligned(size):
    grid = Grid((40, 40, 40), (1.5, 1.5, 1.5))
    mask = torch.zeros(40, 40, 40, dtype=torch.bool)
    mask[:size, :size, :size] = True
    there = Grid((40, 40, 40), (1.5, 1.5, 1.5), (200.0, 0.0, 0.0))
    motion = align_masks(mask, grid, mask, there)
    centre = torch.full((1, 3), 0.75 * (size - 1), dtype=torch.float64)
    assert (motion(centre) - centre - torch.tensor([200.0, 0.0, 0.0])).norm() < 0.1
