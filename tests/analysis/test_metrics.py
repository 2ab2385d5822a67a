import numpy as np
import pytest
import torch

from graphreg.analysis.metrics import dice, sdlogj_l2r, summarise, tre, tre_snapped
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField, Landmarks

GRID = Grid((4, 4, 4), (1.0, 2.0, 4.0), (-1.0, -2.0, -4.0))


def test_no_motion_has_the_distance_as_error_the_true_motion_none_and_its_opposite_twice_the_distance():
    motion = torch.tensor([2.0, -1.0, 2.0])  # of length 3
    field = DenseField(GRID, motion.reshape(3, 1, 1, 1).expand(3, *GRID.shape))
    points_mm = torch.tensor([[0.0, 0.0, 0.0], [1.0, 3.0, 7.0]])
    assert tre(lambda points_mm: points_mm, Landmarks(points_mm, points_mm + motion)).tolist() == [3, 3]
    assert tre(field, Landmarks(points_mm, points_mm + motion)).tolist() == [0, 0]
    assert tre(field, Landmarks(points_mm, points_mm - motion)).tolist() == [6, 6]


def test_a_snapped_error_counts_whole_voxels_of_the_moving_image():
    # mapped minus true: (0.4, 1.2, 2.4) mm is (0.4, 0.6, 0.6) voxels, rounded (0, 1, 1), hence (0, 2, 4) mm
    error = torch.tensor([0.4, 1.2, 2.4], dtype=torch.float64)
    landmarks = Landmarks(torch.zeros(1, 3).double(), torch.zeros(1, 3).double())
    assert tre_snapped(lambda points_mm: points_mm + error, landmarks, GRID).tolist() == pytest.approx([20**0.5])


def test_a_summary_of_one_and_of_two_errors_by_hand_and_none_of_no_error():
    one = summarise(torch.tensor([2.0]))
    assert (one.mean_mm, one.sd_mm, one.worst_30_mm) == (2, 0, 2)
    with pytest.raises(ValueError, match="at least 1"):
        summarise(torch.zeros(0))
    assert summarise(torch.tensor([1.0, 3.0])).sd_mm == pytest.approx(2**0.5)  # n - 1


def test_a_summary_of_ten_errors_by_hand_has_the_percentiles_of_numpy(generator):
    summary = summarise(torch.tensor([10.0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
    assert summary.count == 10
    assert summary.mean_mm == summary.median_mm == 5.5
    assert summary.sd_mm == pytest.approx((82.5 / 9) ** 0.5)
    assert summary.worst_30_mm == 9  # of 8, 9, 10
    assert summary.above_5_mm == 0.5  # 5 mm itself is not above
    assert summary.max_mm == 10
    errors = torch.rand(51, generator=generator) * 20
    summary = summarise(errors)
    expected = np.percentile(errors.double().numpy(), [50, 75, 95])
    assert [summary.median_mm, summary.p75_mm, summary.p95_mm] == pytest.approx(expected.tolist(), abs=1e-9)


def test_dice_by_hand_which_is_not_defined_for_nothing_or_for_two_shapes():
    a = torch.tensor([True, True, False, False])
    assert dice(a, torch.tensor([True, False, True, True])) == pytest.approx(2 / 5)
    assert dice(a, a) == 1
    assert dice(a, ~a) == 0
    with pytest.raises(ValueError, match="not defined"):
        dice(a & ~a, a & ~a)
    with pytest.raises(ValueError, match="one shape"):
        dice(a, a[:2])


def test_the_figure_of_learn2reg_follows_its_evaluator(generator):
    jacobian = torch.randn(9, 8, 7, generator=generator) * 2 + 1
    mask = torch.rand(9, 8, 7, generator=generator) > 0.3
    inner, inside = jacobian.numpy()[2:-2, 2:-2, 2:-2], mask.numpy()[2:-2, 2:-2, 2:-2]
    expected = np.log(np.clip(inner[inside].astype(float) + 3, 1e-9, 1e9)).std()
    assert sdlogj_l2r(jacobian, mask) == pytest.approx(expected, abs=1e-9)
