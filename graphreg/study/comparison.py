"""Two studies of the same cases against each other.  study folders A, B -> paired differences

A case counts where both studies finished it with the same landmarks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from graphreg.core.errors import InputError, PathInput
from graphreg.io.landmarks import PAIR
from graphreg.study.files import Columns, read_study
from graphreg.study.results import read_scored
from graphreg.study.statistics import bootstrap_interval, wilcoxon_p

SAME_MM = 1e-3

Key = tuple[str, str]  # case, landmark set


@dataclass(frozen=True)
class CaseDifference:
    """Mean errors in mm of one case and landmark set in both studies."""

    case: str
    landmark_set: str
    landmarks: int
    a_mm: float
    b_mm: float

    @property
    def difference_mm(self) -> float:
        """B minus A: negative where B is better."""
        return self.b_mm - self.a_mm


@dataclass(frozen=True)
class SetDifference:
    """A landmark set over all its cases.

    Landmarks of one case are not independent of each other: trust the test over cases where there are enough.
    """

    landmark_set: str
    cases: int
    landmarks: int
    a_mm: float  # means of the means of the cases
    b_mm: float
    difference_mm: float
    interval_mm: tuple[float, float] | None  # 95 %, bootstrapped over cases
    p_cases: float | None  # Wilcoxon's signed ranks, two-sided; None for a single case
    p_landmarks: float | None


@dataclass(frozen=True)
class Comparison:
    """B against A."""

    cases: tuple[CaseDifference, ...]
    sets: tuple[SetDifference, ...]
    skipped: tuple[Key, ...]  # in one study only, or with other landmarks


def compare(study_a: PathInput, study_b: PathInput, seed: int = 0) -> Comparison:
    """Errors after registration of two studies, paired by case and landmark set.

    Raises:
        InputError: a folder that holds no study, or two that share no case with the same landmarks.
    """
    a, b = _errors(Path(study_a)), _errors(Path(study_b))
    shared = [key for key in a if key in b and _same_landmarks(a[key], b[key])]
    if not shared:
        raise InputError(f"{study_a} and {study_b}: finished cases with the same landmarks in both needed, found none")
    pairs = {key: (a[key]["after_mm"], b[key]["after_mm"]) for key in shared}
    sets = dict.fromkeys(name for _, name in shared)
    return Comparison(
        cases=tuple(CaseDifference(*key, len(x), x.mean().item(), y.mean().item()) for key, (x, y) in pairs.items()),
        sets=tuple(_of_set(name, {key: pair for key, pair in pairs.items() if key[1] == name}, seed) for name in sets),
        skipped=tuple(key for key in dict.fromkeys([*a, *b]) if key not in pairs),
    )


def _errors(out: Path) -> dict[Key, Columns]:
    names = [case["name"] for case in read_study(out)["cases"]]
    return {(case.name, name): found for case in read_scored(out, names) for name, found in case.errors.items()}


def _same_landmarks(a: Columns, b: Columns) -> bool:
    points = [torch.stack([errors[column] for column in PAIR]) for errors in (a, b)]
    return points[0].shape == points[1].shape and torch.allclose(points[0], points[1], rtol=0, atol=SAME_MM)


def _of_set(name: str, pairs: Mapping[Key, tuple[Tensor, Tensor]], seed: int) -> SetDifference:
    a, b = (torch.stack([pair[side].mean() for pair in pairs.values()]) for side in (0, 1))
    of_landmarks = torch.cat([y - x for x, y in pairs.values()]).tolist()
    of_cases = (b - a).tolist()
    return SetDifference(
        landmark_set=name,
        cases=len(pairs),
        landmarks=len(of_landmarks),
        a_mm=a.mean().item(),
        b_mm=b.mean().item(),
        difference_mm=(b - a).mean().item(),
        interval_mm=bootstrap_interval(of_cases, seed),
        p_cases=wilcoxon_p(of_cases),
        p_landmarks=wilcoxon_p(of_landmarks),
    )
