"""Settings of TOML files written for version 0.5, by their names of today. They work for one version more."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from graphreg.anatomy import former
from graphreg.config.records import RegistrationConfig
from graphreg.core.errors import InputError
from graphreg.core.settings import require

Table = dict[str, Any]

LEVEL = {"keypoints": "sampler", "descriptors": "features", "costs": "matcher", "spline": "interpolator"}
METRICS = {"ncc": "normalised", "mind": "mind-ssc", "mse": "intensities"}
SETTINGS = {"normalisation": "ncc", "descriptors": "mind"}  # tables of a refinement that counted with one metric alone
COMPARISON = ("control_mm", "penalty", "smoothness", "points", "gradient", "jitter_mm")
OF_STRENGTH = ("sigma_mm", "separation_mm")  # of keypoints, which uniform ones do not look at


def modernised(values: Table, config: RegistrationConfig) -> Table:
    """Values for some settings as they are named today, with one DeprecationWarning for all that are not.

    Raises InputError where a former setting has no successor.
    """
    found = _Former(config)
    out = found.anatomy(dict(values))
    for name, each in (("levels", found.level), ("refinement", found.refinement)):
        tables = out.get(name)
        if isinstance(tables, dict):
            out[name] = {
                key: each(dict(table), key) if isinstance(table, dict) else table for key, table in tables.items()
            }
    if found.names:
        warnings.warn(
            f"settings have other names now, see CHANGELOG.md: {', '.join(dict.fromkeys(found.names))}",
            DeprecationWarning,
            stacklevel=3,
        )
    return out


class _Former:
    """Puts settings where they belong today, and notes their former names."""

    def __init__(self, config: RegistrationConfig) -> None:
        self.names: list[str] = []
        self.samplers = {level.name: level.sampler for level in config.levels}

    def anatomy(self, table: Table) -> Table:
        self._move(table, former.WINDOW, lambda ends: _into(table, "anatomy", {"window": _window(ends)}))
        self._move(table, former.FINDER, lambda settings: _into(table, "anatomy", {"find": settings}))
        self._move(table, "alignment", lambda settings: _into(table, "prealignment", {"masks": settings}))
        return table

    def level(self, table: Table, name: str) -> Table:
        for old, new in LEVEL.items():
            self._move(table, old, partial(table.__setitem__, new))
        sampler = table.get("sampler")
        if isinstance(sampler, dict):
            self._move(sampler, former.BRIGHTEST, lambda _: None)
            self._move(sampler, "uniform", lambda wanted: self._spread(table, wanted, name))
        return table

    def _spread(self, table: Table, wanted: Any, name: str) -> None:
        """Keypoints anywhere, as many as the level has, where that is wanted."""
        require(isinstance(wanted, bool), f"levels.{name}.keypoints.uniform must be of type bool", repr(wanted))
        if wanted:
            count = getattr(self.samplers.get(name), "count", None)
            settings = {key: value for key, value in table["sampler"].items() if key not in OF_STRENGTH}
            table["sampler"] = {"kind": "uniform"} | ({} if count is None else {"count": count}) | settings

    def refinement(self, table: Table, name: str) -> Table:
        features = table.get("features")
        if isinstance(features, dict) and features and set(features) <= set(COMPARISON):
            self._move(table, "features", partial(table.__setitem__, "comparison"))
        self._move(table, "objective", partial(_require_features, name))
        metric = str(table.get("metric", "ncc"))
        for old, whose in SETTINGS.items():
            self._move(table, old, partial(_describe, table) if metric == whose else lambda _: None)
        self._move(table, "metric", lambda metric: _into(table, "features", {"kind": METRICS.get(str(metric), metric)}))
        return table

    def _move(self, table: Table, name: str, to: Callable[[Any], None]) -> None:
        if name in table:
            self.names.append(name)
            to(table.pop(name))


def _window(ends: Any) -> Any:
    fine = isinstance(ends, list) and len(ends) == 2
    return {"low": ends[0], "high": ends[1]} if fine else ends


def _require_features(name: str, objective: Any) -> None:
    if objective != "features":
        need = f"refinement.{name}.objective must be 'features', for keypoints write refinement = ['keypoints']"
        raise InputError(f"{need}, got {objective!r}")


def _describe(table: Table, settings: Any) -> None:
    """Puts the settings of features where a refinement has them."""
    if isinstance(settings, dict):
        settings = {"noise" if key == former.NOISE else key: value for key, value in settings.items()}
    table["features"] = settings


def _into(table: Table, name: str, more: Table) -> None:
    """Adds to the table of a name, beside what is in it."""
    have = table.get(name)
    table[name] = (have if isinstance(have, dict) else {}) | more
