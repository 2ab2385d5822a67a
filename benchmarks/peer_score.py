"""The second step of ``peers.py``: transforms and landmarks to tables and results.json, through graphreg's own figures.

Errors are target registration errors in mm, sub-voxel; folding and the spread of the logarithm of the Jacobian are
those inside the fixed lung mask, for every method from a field on the grid of the fixed image.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import cases, markdown
from peer_methods import METHODS

from graphreg.analysis.metrics import summarise, tre
from graphreg.analysis.quality import regularity
from graphreg.io import InputError, read_landmarks, read_mask, read_transform, read_volume
from graphreg.io.json_text import write_json

# name in the tables: name in results.json, decimals
FIGURES = {
    "mean": ("mean_mm", 2),
    "median": ("median_mm", 2),
    "p95": ("p95_mm", 2),
    "max": ("max_mm", 2),
    "folding_%": ("folding_percent", 3),
    "sdlogJ": ("sdlogj", 3),
    "seconds": ("seconds", 0),
    "MiB": ("peak_mib", 0),
}


def score(pairs: Path, out: Path, environment: dict[str, Any]) -> None:
    """Two tables, means over pairs and every run, and results.json."""
    found = cases(pairs, "landmarks.csv")
    runs = [scored(method, case, out / method / case.name) for case in found for method in METHODS]
    means = [mean(method, [run for run in runs if run["method"] == method]) for method in METHODS]
    print(table(["method", "pairs"], means, [[row["method"], f"{row['done']}/{row['pairs']}"] for row in means]))
    print()
    print(table(["pair", "method"], runs, [[run["pair"], run["method"]] for run in runs]))
    write_json(out / "results.json", {"scored": environment, "means": means, "runs": runs})


def scored(method: str, case: Path, folder: Path) -> dict[str, Any]:
    """The record of a run with its figures, or with the error that left none."""
    record = folder / "run.json"
    if not record.exists():
        return {"method": method, "pair": case.name, "error": "not run"}
    run: dict[str, Any] = json.loads(record.read_text())
    if run["error"]:
        return run
    try:
        return run | figures(case, folder / "transform.h5")
    except (InputError, ValueError) as error:
        return run | {"error": str(error)}


def figures(case: Path, transform: Path) -> dict[str, float]:
    """Errors at the landmarks and regularity of a transform."""
    field = read_transform(transform)
    grid = read_volume(case / "fixed.nii.gz").grid
    mask = read_mask(case / "fixed_mask.nii.gz", grid)
    errors = tre(field, read_landmarks(case / "landmarks.csv"))
    return asdict(summarise(errors)) | asdict(regularity(field, mask, grid))


def mean(method: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean figures over the pairs that a method finished, and how many those are."""
    done = [run for run in runs if not run["error"]]
    row: dict[str, Any] = {"method": method, "pairs": len(runs), "done": len(done), "error": None}
    if not done:
        return row | {"error": "; ".join(sorted({run["error"] for run in runs}))}
    return row | {key: sum(run[key] for run in done) / len(done) for key, _ in FIGURES.values()}


def table(names: list[str], rows: list[dict[str, Any]], heads: list[list[str]]) -> str:
    """Markdown; a row without figures gives its reason instead."""
    lines = []
    for row, head in zip(rows, heads, strict=True):
        failed = [row["error"].replace("|", "/"), *[""] * (len(FIGURES) - 1)] if row["error"] else None
        lines.append(head + (failed or [f"{row[key]:.{decimals}f}" for key, decimals in FIGURES.values()]))
    return markdown([*names, *FIGURES], lines)
