"""Finished cases to the figures of a study.  Scored -> rows of results.csv, summary.json"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch

from graphreg.study.files import KINDS
from graphreg.study.results import Scored
from graphreg.study.statistics import bootstrap_interval, describe_errors, spread

FIGURES = ("mean_mm", "sd_mm", "median_mm", "p25_mm", "p75_mm", "p95_mm", "max_mm", "worst_30_mm", "above_5_mm")
OF_KIND = {kind: FIGURES[:2] if kind.startswith("before") else FIGURES for kind in KINDS}
OF_CASE = ("folding_percent", "sdlogj", "sdlogj_l2r", "mean_jacobian", "seconds", "peak_mib", "published_identity_mm")
COLUMNS = (
    "case",
    "landmark_set",
    "landmarks",
    *(f"{kind}_{figure}" for kind, figures in OF_KIND.items() for figure in figures),
    *OF_CASE,
    "warnings",
)


def rows_of(scored: Sequence[Scored]) -> Iterator[dict[str, Any]]:
    """A row per case and landmark set, with ``COLUMNS``; one of a case without landmarks lacks their figures."""
    for case in scored:
        own = {"case": case.name} | {name: case.figures.get(name) for name in OF_CASE}
        own["warnings"] = "; ".join(doubt["sign"] for doubt in case.figures["warnings"])
        for name, found in case.figures["landmark_sets"].items() or [("", {})]:
            errors = {f"{k}_{f}": found[k][f] for k, figures in OF_KIND.items() for f in figures if k in found}
            yield own | {"landmark_set": name, "landmarks": found.get("count", 0)} | errors


def results_table(scored: Sequence[Scored]) -> str:
    """results.csv; what is not known is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows_of(scored))
    return text.getvalue()


def summarise_study(scored: Sequence[Scored], seed: int = 0) -> dict[str, Any]:
    """Errors of each landmark set, over all its landmarks and over the means of the cases, and figures of the cases.

    ``interval_mm`` is the 95 % confidence interval of the mean over cases, bootstrapped with the seed.
    """
    names = dict.fromkeys(name for case in scored for name in case.errors)
    figures = {name: spread([case.figures.get(name) for case in scored]) for name in OF_CASE[:-1]}
    return {
        "errors": {name: _of_set([case for case in scored if name in case.errors], name, seed) for name in names},
        "figures": {name: asdict(found) for name, found in figures.items() if found is not None},
    }


def _of_set(scored: Sequence[Scored], name: str, seed: int) -> dict[str, Any]:
    out: dict[str, Any] = {"over_landmarks": {}, "over_cases": {}}
    for kind in KINDS:
        errors_mm = [case.errors[name][f"{kind}_mm"] for case in scored]
        out["over_landmarks"][kind] = describe_errors(torch.cat(errors_mm))
        means_mm = [found.mean().item() for found in errors_mm]
        figures = spread(means_mm)
        assert figures is not None
        named = {n if n == "count" else f"{n}_mm": value for n, value in asdict(figures).items()}
        out["over_cases"][kind] = named | {"interval_mm": bootstrap_interval(means_mm, seed)}
    return out
