"""Figures of many errors and of many cases, how sure their mean is, and whether two methods differ."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import wilcoxon
from torch import Tensor

from graphreg.analysis.metrics import summarise

RESAMPLES = 10_000
BLOCK = 100  # of them at once; bounds memory
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure over the cases that have it."""

    count: int
    mean: float
    sd: float  # of a sample (n - 1)
    median: float
    p25: float
    p75: float
    low: float
    high: float


def describe_errors(errors_mm: Tensor) -> dict[str, Any]:
    """Figures of landmark errors (M,) in mm, at least one: those of ``summarise`` and the first quartile."""
    return asdict(summarise(errors_mm)) | {"p25_mm": errors_mm.double().quantile(0.25).item()}


def spread(values: Sequence[float | None]) -> Spread | None:
    """How a figure is spread over cases, of which some may lack it; None where all do."""
    there = np.array([value for value in values if value is not None and math.isfinite(value)])
    if not len(there):
        return None
    p25, median, p75 = np.quantile(there, [0.25, 0.5, 0.75]).tolist()
    return Spread(
        count=len(there),
        mean=float(there.mean()),
        sd=float(there.std(ddof=1)) if len(there) > 1 else 0.0,
        median=median,
        p25=p25,
        p75=p75,
        low=float(there.min()),
        high=float(there.max()),
    )


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """95 % confidence interval of the mean of independent values, from percentiles; None for fewer than two.

    Efron (1979): means of as many values drawn with replacement. The same seed gives the same interval.
    """
    if len(values) < 2:
        return None
    data = np.asarray(values, dtype=float)
    rng = np.random.default_rng(seed)
    blocks = (rng.integers(len(data), size=(BLOCK, len(data))) for _ in range(RESAMPLES // BLOCK))
    means = np.concatenate([data[block].mean(1) for block in blocks])
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return low, high


def wilcoxon_p(differences: Sequence[float]) -> float | None:
    """Two-sided p of the paired signed-rank test; 1 where no pair differs, None for fewer than two pairs."""
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return None
    values = values[values != 0]  # as Wilcoxon does; the exact test would warn of them
    return float(wilcoxon(values).pvalue) if len(values) else 1.0
