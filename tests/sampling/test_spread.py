"""Farthest points against a search of all distances, and a choice that is even and without a pattern."""

import numpy as np
import pytest
import torch

from graphreg.sampling.spread import farthest_points, one_of_each_share


def test_farthest_points_agree_with_a_search_of_all_distances(generator):
    points_mm = torch.randn(80, 3, generator=generator, dtype=torch.float64)
    chosen = [17]
    while len(chosen) < 30:
        nearest = [min(float((p - points_mm[c]).norm()) for c in chosen) for p in points_mm]
        chosen.append(int(np.argmax(nearest)))
    assert farthest_points(points_mm, 30, first=17).tolist() == chosen


def test_thinning_leaves_no_point_farther_from_the_chosen_than_they_are_from_one_another(generator):
    points_mm = torch.randn(500, 3, generator=generator) * torch.tensor([1.0, 20.0, 5.0])
    chosen = points_mm[farthest_points(points_mm, 60)]
    apart = torch.cdist(chosen, chosen).fill_diagonal_(torch.inf).min()
    assert torch.cdist(points_mm, chosen).amin(1).max() <= apart + 1e-4


def test_all_points_are_kept_where_more_are_wanted(generator):
    points_mm = torch.randn(7, 3, generator=generator)
    assert farthest_points(points_mm, 7).tolist() == farthest_points(points_mm, 100).tolist() == list(range(7))


@pytest.mark.parametrize(("total", "count"), [(64000, 1600), (1001, 1000), (100, 7), (60, 60), (50, 80)])
def test_each_of_equal_shares_has_one_and_they_are_always_the_same(total, count):
    found = one_of_each_share(total, count)
    shares = min(total, count)
    assert len(found) == shares
    borders = torch.tensor([k * total // shares for k in range(shares + 1)])
    assert bool(((found >= borders[:-1]) & (found < borders[1:])).all())
    assert torch.equal(found, one_of_each_share(total, count))


def test_a_choice_has_no_pattern_along_rows():
    # 1600 shares of 40, the length of a row: each tenth of it holds about 160 of them
    tenths = (one_of_each_share(64000, 1600) % 40 // 4).bincount(minlength=10)
    assert tenths.min() > 100 and tenths.max() < 220
