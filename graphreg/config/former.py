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
    """Values as they are named today, with one DeprecationWarning for all that are not."""
    found = _Former()
    out = found.anatomy(dict(values))
    for name, each in (("levels", found.level), ("refinement", found.refinement)):
        tables = out.get(name)
        if isinstance(tables, dict):
            out[name] = {key: each(dict(table)) if isinstance(table, dict) else table for key, table in tables.items()}
    if found.names:
        warnings.warn(
            f"settings have other names now, see CHANGELOG.md: {', '.join(dict.fromkeys(found.names))}",
            DeprecationWarning,
            stacklevel=3,
        )
    return out


class _Former:
    """Puts settings where they belong today, and notes their former names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def anatomy(self, table: Table) -> Table:
        self._move(table, former.WINDOW, lambda ends: _into(table, "anatomy", {"window": _window(ends)}))
        self._move(table, former.FINDER, lambda settings: _into(table, "anatomy", {"find": settings}))
        self._move(table, "alignment", lambda settings: _into(table, "prealignment", {"masks": settings}))
        return table

    def level(self, table: Table) -> Table:
        for old, new in LEVEL.items():
            self._move(table, old, lambda settings, new=new: table.__setitem__(new, settings))  # type: ignore[misc]
        sampler = table.get("sampler")
        if isinstance(sampler, dict):
            self._move(sampler, former.BRIGHTEST, lambda _: None)
            if sampler.pop("uniform", False):
                table["sampler"] = {"kind": "uniform"} | {k: v for k, v in sampler.items() if k == "count"}
        return table

    def refinement(self, table: Table) -> Table:
        features = table.get("features")
        if isinstance(features, dict) and features and set(features) <= set(COMPARISON):
            self._move(table, "features", lambda settings: table.__setitem__("comparison", settings))
        for old in ("normalisation", "descriptors"):
            self._move(table, old, lambda settings: table.__setitem__("features", _renamed(settings)))
        self._move(table, "metric", lambda metric: _into(table, "features", {"kind": METRICS.get(metric, metric)}))
        return table

    def _move(self, table: Table, name: str, to: Callable[[Any], None]) -> None:
        if name in table:
            self.names.append(name)
            to(table.pop(name))


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
