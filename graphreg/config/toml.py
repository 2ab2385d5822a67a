"""Settings out of TOML in place of those of a preset.

A way to fill a role is named, with settings of its own in a table: ``regulariser = "mean-field"``, or
``regulariser = {kind = "mean-field", data_weight = 100.0}``. Levels and passes are tables of their name; lists of kinds
take the place of all passes of refinement or pre-alignment. In a level, a table with the name of a regulariser holds
the settings that this regulariser has there, whether it is the one that works or not.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args

from graphreg.config.former import modernised
from graphreg.config.names import ROLES, Registry, entry_name, kind_of
from graphreg.config.records import LevelConfig, RegistrationConfig
from graphreg.core.errors import InputError

LISTS = ("levels", "refinement", "prealignment")


def override(config: RegistrationConfig, toml: str) -> RegistrationConfig:
    """Settings with those of a TOML text in place of their own.

    Raises:
        InputError: not TOML, an unknown name, a value of another type, or one that is out of range.
    """
    try:
        values = modernised(tomllib.loads(toml), config)
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        raise InputError(str(error)) from None
    except RecursionError:
        raise InputError("nested too deeply") from None
    if isinstance(name := values.pop("regulariser", None), str):
        config = config.with_regulariser(name)
    elif name is not None:
        raise InputError(f"regulariser must be a name, with tables of settings in the levels, got {name!r}")
    changed: RegistrationConfig = _override(config, values, "")
    return changed


def _override(record: Any, values: Mapping[str, Any], path: str) -> Any:
    """A record with values in place of its own; what is named by a table of its own is changed first."""
    if isinstance(record, LevelConfig):
        record, values = _named_regularisers(record, values, path)
    known = {f.name: f.type for f in fields(record)}
    changes = {}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"unknown setting {path + name!r}; there are {', '.join(known)}")
        changes[name] = _changed(name, getattr(record, name), value, path + name, known[name])
    return replace(record, **changes)


def _changed(name: str, old: Any, new: Any, path: str, hint: Any) -> Any:
    if name in LISTS:
        return _entries(old, new, path) if isinstance(new, dict) else _listed(name, new, path)
    if name in ROLES:
        return _filled(ROLES[name], old, new, path)
    if isinstance(old, tuple) and isinstance(new, list) and Ellipsis not in get_args(hint) and len(new) != len(old):
        raise InputError(f"{path} must hold {len(old)} values, got {new}")
    return _converted(old, new, path)


def _filled(registry: Registry, old: Any, new: Any, path: str) -> Any:
    """A role, filled by the way of that name, or with other settings."""
    if isinstance(new, str):
        return _filled(registry, old, {"kind": new}, path)
    if not isinstance(new, dict):
        raise InputError(f"{path} must be a name or a table, got {new!r}")
    kind, settings = new.get("kind", kind_of(old)), {key: value for key, value in new.items() if key != "kind"}
    try:
        chosen = old if kind == kind_of(old) else _made(registry, kind, path)
    except TypeError:  # it has settings without defaults
        return _given(registry, str(kind), settings, path)
    if not is_dataclass(chosen):
        raise InputError(f"{path} has no settings: name one of {', '.join(registry)} as its kind")
    return _override(chosen, settings, f"{path}.")


def _given(registry: Registry, kind: str, settings: Mapping[str, Any], path: str) -> Any:
    """A way to fill a role that has no settings until they are given, all at once."""
    try:
        return registry[kind](**{name: _frozen(value) for name, value in settings.items()})
    except TypeError as error:
        raise InputError(f"{path}: {kind}: {error}") from None


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _made(registry: Registry, kind: Any, path: str) -> Any:
    if not isinstance(kind, str) or kind not in registry:
        raise InputError(f"{path} must be one of {', '.join(registry)}, got {kind!r}")
    return registry[kind]()


def _named_regularisers(level: LevelConfig, values: Mapping[str, Any], path: str) -> tuple[LevelConfig, dict[str, Any]]:
    """The level with the regulariser that is named, with settings of those that are, and the other values."""
    left = dict(values)
    if isinstance(left.get("regulariser"), str):
        level = level.with_regulariser(left.pop("regulariser"))
    for key in values:
        if key.replace("_", "-") in ROLES["regulariser"]:
            level = _tuned(level, key.replace("_", "-"), left.pop(key), path + key)
    return level, left


def _tuned(level: LevelConfig, kind: str, settings: Any, path: str) -> LevelConfig:
    """The level with settings of one of its regularisers changed, be it the one that works or not."""
    chosen = level.with_regulariser(kind).regulariser
    changed = _filled(ROLES["regulariser"], chosen, settings, path)
    if kind_of(level.regulariser) == kind:
        return replace(level, regulariser=changed)
    others = (one for one in level.alternatives if kind_of(one) != kind)
    return replace(level, alternatives=(*others, changed))


def _entries(old: tuple[Any, ...], new: Mapping[str, Any], path: str) -> tuple[Any, ...]:
    """Levels or passes with those of their names changed."""
    names = [entry_name(entry) for entry in old]
    for name, value in new.items():
        if name not in names or not isinstance(value, dict):
            raise InputError(f"{path} are the tables {', '.join(map(str, names))}, got {name} = {value!r}")
    changed = zip(old, names, strict=True)
    return tuple(_override(entry, new.get(str(name), {}), f"{path}.{name}.") for entry, name in changed)


def _listed(name: str, new: Any, path: str) -> tuple[Any, ...]:
    """Passes of pre-alignment or refinement in the order in which they are listed."""
    if name == "levels" or not isinstance(new, list):
        raise InputError(f"{path} must hold tables of settings by name, got {new!r}")
    return tuple(_filled(ROLES[name], None, entry, f"{path}[{n}]") for n, entry in enumerate(new))


def _converted(old: Any, new: Any, path: str) -> Any:
    """A value of TOML as the type of the one whose place it takes."""
    if is_dataclass(old) and isinstance(new, dict):
        return _override(old, new, path + ".")
    if isinstance(old, tuple) and isinstance(new, list):
        return tuple(_converted(old[0] if old else None, value, path) for value in new)
    if isinstance(old, float | None) and isinstance(new, int) and not isinstance(new, bool):
        return float(new)
    if type(old) is not type(new) and old is not None:
        raise InputError(f"{path} must be of type {type(old).__name__}, got {new!r}")
    if isinstance(new, float) and not math.isfinite(new):
        raise InputError(f"{path} must be finite, got {new}")
    return new
