"""Conversions of a configuration between `ConfigDict`, JSON and dataclasses.

Only this module reads a `ConfigDict`. All other modules see `Config`.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import ml_collections

from damamba_jax.config.sections import Config
from damamba_jax.config.systems import SYSTEMS, SystemConfig
from damamba_jax.errors import ConfigError, nearest

S = TypeVar("S", bound=Any)


def from_config_dict(config: ml_collections.ConfigDict) -> Config:
    """Makes a validated `Config` from a `ConfigDict`.

    `data.features` of the `ConfigDict` is a comma-separated string of names, so that it
    can be set on the command line. The table `features` maps each known name to the
    fields of `FeatureConfig`. Here, the names are replaced by these fields.

    Raises:
      ConfigError: for an unknown field or feature (the message names the most similar
        known one), or a value out of its range.
    """
    tree = config.to_dict()
    table = tree.pop("features", {})
    data = dict(tree.get("data", {}))
    names = [name.strip() for name in data.get("features", "").split(",")]
    features = []
    for name in filter(None, names):
        if name not in table:
            raise ConfigError(
                f"`data.features`: unknown feature {name!r}{nearest(name, table)}"
            )
        features.append({"name": name, **table[name]})
    data["features"] = features
    return from_tree({**tree, "data": data})


def check_field(config: ml_collections.ConfigDict, path: str) -> None:
    """Raises `ConfigError` unless a configuration has a field, e.g. `model.dim`."""
    group: Any = config
    for name in path.split("."):
        if not isinstance(group, ml_collections.ConfigDict) or name not in group:
            known = group if isinstance(group, ml_collections.ConfigDict) else ()
            raise ConfigError(f"`config.{path}`: unknown field{nearest(name, known)}")
        group = group[name]


def from_tree(tree: Any) -> Config:
    """Builds `Config` from nested plain values that have all present fields.

    Raises:
      ConfigError: for an unknown or an absent field, or a value out of its range.
    """
    return _build(Config, tree, "config")


def to_json(config: Config) -> str:
    """Writes a configuration as text that `from_json` reads."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str) -> Config:
    """Reads a stored configuration of this version or an older one.

    Raises:
      ConfigError: as `from_tree` does.
    """
    # Only stored configurations may be older than this code.
    from damamba_jax.config.migrate import migrate

    return from_tree(migrate(json.loads(text)))


def override(section: S, changes: Mapping[str, Any]) -> S:
    """Copies a configuration, or a section, with other values.

    Args:
      section: the configuration or section; all its rules are checked again.
      changes: new values by the path of their field, e.g. `{"model.ssm": "mamba2"}`.

    Raises:
      ConfigError: if the new values break a rule.
    """
    values, groups = {}, {}
    for path, value in changes.items():
        name, dot, rest = path.partition(".")
        if dot:
            groups.setdefault(name, {})[rest] = value
        else:
            values[name] = value
    for name, group in groups.items():
        values[name] = override(getattr(section, name), group)
    return dataclasses.replace(section, **values)


def differences(old: Config, new: Config) -> list[str]:
    """Names the fields in which two configurations differ, as `path: old -> new`."""
    a, b = flatten(dataclasses.asdict(old)), flatten(dataclasses.asdict(new))
    return changed_fields(a, b)


def changed_fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Names the fields, by dotted path, that have other values in `b` than in `a`."""
    return [
        f"{key}: {a.get(key, 'absent')!r} -> {b.get(key, 'absent')!r}"
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    ]


def flatten(tree: Any, path: str = "") -> dict[str, Any]:
    """Lists nested values by dotted path; the name of a list's item is its index."""
    if isinstance(tree, Mapping):
        items = tree.items()
    elif isinstance(tree, (list, tuple)) and tree:
        items = enumerate(tree)
    else:
        return {path: tree}
    flat = {}
    for key, value in items:
        flat.update(flatten(value, f"{path}.{key}" if path else str(key)))
    return flat


def _build(cls: type[Any], tree: Any, path: str) -> Any:
    """Builds one section from a group of fields."""
    if not isinstance(tree, Mapping):
        raise ConfigError(f"`{path}`: expected a group of fields, got {tree!r}.")
    if cls is SystemConfig:
        cls = _system(tree, path)
    hints = {f.name: hint for f, hint in section_fields(cls)}
    unknown = [key for key in tree if key not in hints]
    if unknown:
        owner = f" of system {cls.system!r}" if issubclass(cls, SystemConfig) else ""
        raise ConfigError(
            f"`{path}.{unknown[0]}`: unknown field{owner}{nearest(unknown[0], hints)}"
        )
    values = {
        key: _convert(hints[key], value, f"{path}.{key}") for key, value in tree.items()
    }
    missing = [
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.name not in values
    ]
    if missing:
        raise ConfigError(f"`{path}.{missing[0]}`: required, but not given.")
    return cls(**values)


def section_fields(cls: type) -> list[tuple[dataclasses.Field, Any]]:
    """Lists the fields of a section, each with its type."""
    hints = typing.get_type_hints(cls)
    return [(field, hints[field.name]) for field in dataclasses.fields(cls)]


def _system(tree: Mapping[str, Any], path: str) -> type[SystemConfig]:
    """Finds the dataclass of the system that a group of fields names."""
    name = tree.get("system")
    if name not in SYSTEMS:
        raise ConfigError(
            f"`{path}.system`: unknown system {name!r}{nearest(str(name), SYSTEMS)}"
        )
    return SYSTEMS[name]


def _convert(hint: Any, value: Any, path: str) -> Any:
    """Converts one plain value to the type of its field."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        if value is None:
            return None
        return _convert(args[0], value, path)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"`{path}`: expected one of {list(args)}, got {value!r}.")
        return value
    if origin is tuple:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"`{path}`: expected a list, got {value!r}.")
        return tuple(
            _convert(args[0], item, f"{path}[{i}]") for i, item in enumerate(value)
        )
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _build(hint, value, path)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(
            f"`{path}`: expected {hint.__name__}, got {value!r} "
            f"({type(value).__name__})."
        )
    return value
