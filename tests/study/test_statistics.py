"""Figures of studies against numbers worked out by hand."""

import pytest
import torch
from scipy.stats import binom
from support.problems import present

from graphreg.study.statistics import bootstrap_interval, describe_errors, spread, wilcoxon_p


def test_errors_of_one_to_ten_mm_have_these_figures():
    found = describe_errors(torch.arange(1.0, 11.0))
    assert found["count"] == 10 and found["mean_mm"] == 5.5 and found["median_mm"] == 5.5
    assert found["sd_mm"] == pytest.approx((82.5 / 9) ** 0.5)
    assert (found["p25_mm"], found["p75_mm"]) == pytest.approx((3.25, 7.75))
    assert found["p95_mm"] == pytest.approx(9.55) and found["worst_30_mm"] == 9.0 and found["above_5_mm"] == 0.5


def test_a_spread_leaves_out_what_is_not_known():
    found = present(spread([2.0, None, 4.0, float("nan"), 9.0]))
    assert (found.count, found.mean, found.median, found.low, found.high) == (3, 5.0, 4.0, 2.0, 9.0)
    assert found.sd == pytest.approx(13**0.5) and (found.p25, found.p75) == (3.0, 6.5)
    assert spread([None]) is None and present(spread([1.0])).sd == 0.0


def test_the_bootstrap_of_zeros_and_ones_is_binomial_seeded_and_needs_two_cases():
    low, high = present(bootstrap_interval([0.0] * 10 + [1.0] * 10))
    assert (low, high) == pytest.approx([binom.ppf(q, 20, 0.5) / 20 for q in (0.025, 0.975)])
    values = [1.0, 2.0, 4.0, 8.0]
    assert bootstrap_interval(values, 3) == bootstrap_interval(values, 3)
    assert bootstrap_interval([2.0, 2.0]) == (2.0, 2.0)
    assert bootstrap_interval([2.0]) is None


def test_the_signed_rank_test_counts_the_signs_it_could_have():
    # all of five differences negative: 2 of the 2^5 equally likely patterns of signs are as extreme
    assert wilcoxon_p([-1.0, -2.0, -3.0, -4.0, -5.0]) == pytest.approx(2 / 32)
    # ranks 1 (positive) and 2, 3, 4 (negative): sums of 0 and 1 from either end, 4 of 2^4 patterns
    assert wilcoxon_p([1.0, -2.0, -3.0, -4.0]) == pytest.approx(4 / 16)
    assert wilcoxon_p([0.0, 0.0, 0.0]) == 1.0 and wilcoxon_p([1.0]) is None
    assert wilcoxon_p([0.0, -1.0, -2.0, -3.0, -4.0, -5.0]) == pytest.approx(2 / 32)
