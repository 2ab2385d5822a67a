"""Settings out of TOML in place of those of a preset.

A way to fill a role is named, with settings of its own in a table: ``regulariser = "mean-field"``, or
``regulariser = {kind = "mean-field", data_weight = 100.0}``. Levels and passes are tables of their name; lists of kinds
take the place of all passes of refinement or pre-alignment. In a level, a table with the name of a regulariser holds
the settings that this regulariser has there, whether it is the one that works or not.
"""

import math
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

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


def filled(role: str, settings: Any) -> Any:
    """What fills a role by its name or out of its record, see ``as_record``. Raises InputError."""
    return _filled(ROLES[role], None, settings, role)


def _override(record: Any, values: Mapping[str, Any], path: str) -> Any:
    """A record with values in place of its own; what is named by a table of its own is changed first."""
    if isinstance(record, LevelConfig):
        record, values = _named_regularisers(record, values, path)
    known = _types(record)
    changes = {}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"unknown setting {path + name!r}; there are {', '.join(known)}")
        changes[name] = _changed(name, getattr(record, name), value, path + name, known[name])
    return replace(record, **changes)


def _types(record: Any) -> dict[str, Any]:
    """Types of settings by their names, of the values where annotations are text that cannot be looked up."""
    try:
        hints = get_type_hints(type(record))
    except NameError:
        hints = {}
    return {f.name: hints.get(f.name, type(getattr(record, f.name))) for f in fields(record)}


def _changed(name: str, old: Any, new: Any, path: str, hint: Any) -> Any:
    if name in LISTS:
        return _entries(old, new, path) if isinstance(new, dict) else _listed(name, new, path)
    if name in ROLES and new is not None:  # as records have it of what stands in no role
        only = {kind: make for kind, make in ROLES[name].items() if make is hint}  # where the type tells the way
        return _filled(only or ROLES[name], old, new, path)
    return _converted(old, new, path, hint)


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
    hints = get_type_hints(registry[kind])
    values = {name: _converted(None, value, f"{path}.{name}", hints.get(name, Any)) for name, value in settings.items()}
    try:
        return registry[kind](**values)
    except TypeError as error:
        raise InputError(f"{path}: {kind}: {error}") from None


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


def _converted(old: Any, new: Any, path: str, hint: Any) -> Any:
    """A value of TOML as the type that the setting has."""
    if is_dataclass(old) and isinstance(new, dict):
        return _override(old, new, path + ".")
    if get_origin(hint) is tuple and isinstance(new, list):
        return _several(new, path, get_args(hint))
    kinds = _alternatives(hint)
    if float in kinds and type(new) is int and abs(new) <= sys.float_info.max:
        return float(new)
    if type(new) not in kinds and Any not in kinds:
        names = dict.fromkeys(kind.__name__ for kind in kinds if kind is not NoneType)
        raise InputError(f"{path} must be of type {' or '.join(names)}, got {new!r}")
    if isinstance(new, float) and not math.isfinite(new):
        raise InputError(f"{path} must be finite, got {new}")
    return new


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that an annotation allows."""
    if get_origin(hint) is Literal:
        return tuple(map(type, get_args(hint)))
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _several(new: list[Any], path: str, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values of TOML for a tuple of such types, or of any number of the first."""
    hints = hints[:1] * len(new) if Ellipsis in hints else hints
    if len(new) != len(hints):
        raise InputError(f"{path} must hold {len(hints)} values, got {new}")
    return tuple(_converted(None, value, path, hint) for value, hint in zip(new, hints, strict=True))
