"""Settings of TOML files written for version 0.5, by their names of today. They work for one version more."""

import warnings
from collections.abc import Callable
from typing import Any

from graphreg.anatomy import former

Table = dict[str, Any]

LEVEL = {"keypoints": "sampler", "descriptors": "features", "costs": "matcher", "spline": "interpolator"}
METRICS = {"ncc": "normalised", "mind": "mind-ssc", "mse": "intensities"}
COMPARISON = ("control_mm", "penalty", "smoothness", "points", "gradient", "jitter_mm")


def modernised(values: Table) -> Table:
    """Values as they are named today, with a DeprecationWarning for each that is not."""
    out = dict(values)
    _move(out, former.WINDOW, lambda ends: _into(out, "anatomy", {"window": _window(ends)}))
    _move(out, former.FINDER, lambda table: _into(out, "anatomy", {"find": table}))
    _move(out, "alignment", lambda table: _into(out, "prealignment", {"masks": table}))
    for name, each in (("levels", _level), ("refinement", _pass)):
        tables = out.get(name)
        if isinstance(tables, dict):
            out[name] = {key: each(dict(table)) if isinstance(table, dict) else table for key, table in tables.items()}
    return out


def _level(table: Table) -> Table:
    for old, new in LEVEL.items():
        _move(table, old, lambda settings, new=new: table.__setitem__(new, settings))  # type: ignore[misc]
    sampler = table.get("sampler")
    if isinstance(sampler, dict):
        _move(sampler, former.BRIGHTEST, lambda _: None)
        if sampler.pop("uniform", False):
            table["sampler"] = {"kind": "uniform"} | {k: v for k, v in sampler.items() if k == "count"}
    return table


def _pass(table: Table) -> Table:
    features = table.get("features")
    if isinstance(features, dict) and features and set(features) <= set(COMPARISON):
        _move(table, "features", lambda settings: table.__setitem__("comparison", settings))
    for old in ("normalisation", "descriptors"):
        _move(table, old, lambda settings: table.__setitem__("features", _renamed(settings)))
    _move(table, "metric", lambda metric: _into(table, "features", {"kind": METRICS.get(metric, metric)}))
    return table


def _window(ends: Any) -> Any:
    fine = isinstance(ends, list) and len(ends) == 2
    return {"low": ends[0], "high": ends[1]} if fine else ends


def _renamed(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    return {"noise" if key == former.NOISE else key: value for key, value in settings.items()}


def _into(table: Table, name: str, more: Table) -> None:
    """Adds to the table of a name, beside what is in it."""
    have = table.get(name)
    table[name] = (have if isinstance(have, dict) else {}) | more


def _move(table: Table, name: str, to: Callable[[Any], None]) -> None:
    if name in table:
        warnings.warn(f"the setting {name!r} has another name now, see CHANGELOG.md", DeprecationWarning, stacklevel=4)
        to(table.pop(name))
