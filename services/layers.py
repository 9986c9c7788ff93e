"""Merges layers of configuration (preset, file, command line, environment) and says which layer a mistake is in.

Knows nothing of what the keys mean, and reads no file.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from services.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Layer:
    """Dotted keys and their values, and where they come from, as a message would name it."""

    source: str
    values: Mapping[str, Any]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`. Empty tables vanish."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def assignment(text: str) -> tuple[str, Any]:
    """`key=value` of the command line: the value is TOML, or the text itself where it is no TOML.

    Raises:
        ConfigError: there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: give it as section.key=value, for example --set pretrain.batch_size=8")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def validate(model: type[Model], layers: Sequence[Layer]) -> Model:
    """The model of all layers, later ones winning.

    Raises:
        ConfigError: with one line for each mistake, naming its layer and key.
    """
    origin: dict[str, str] = {}
    tree: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.values.items():
            _plant(tree, key, value, layer.source)
            origin.pop(key, None)  # a dict keeps its first order; the layer that speaks last must come last
            origin[key] = layer.source
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        lines = [_describe(model, dict(mistake), origin) for mistake in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def origins(layers: Sequence[Layer]) -> dict[str, str]:
    """The layer that decides each key that any of them gives."""
    return {key: layer.source for layer in layers for key in layer.values}


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key of a model, sections included."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_keys(field.annotation, f"{prefix}{name}.")


def _plant(tree: dict[str, Any], key: str, value: Any, source: str) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{source}: {key}: {section} is a value, not a section")
    tree[leaf] = value


def _describe(model: type[BaseModel], mistake: Mapping[str, Any], origin: Mapping[str, str]) -> str:
    key = ".".join(str(part) for part in mistake["loc"]) or "configuration"
    # A model-wide check blames its section: the layer that spoke last about it is the one to look at.
    source = origin.get(key) or next(
        (layer for known, layer in reversed(list(origin.items())) if known.startswith(f"{key}.")), "together"
    )
    if mistake["type"] == "extra_forbidden":
        return f"{source}: unknown key {key}{_suggestion(model, key)}"
    message = str(mistake["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    shown = "" if isinstance(mistake["input"], Mapping) else f" = {mistake['input']!r}"
    return f"{source}: {key}{shown}: {message}"


def _suggestion(model: type[BaseModel], key: str) -> str:
    """The known key most like an unknown one: first in its own section, then anywhere by its last name."""
    keys = list(known_keys(model))
    section, _, leaf = key.rpartition(".")
    siblings = {k.rpartition(".")[2]: k for k in keys if k.rpartition(".")[0] == section}
    anywhere = {k.rpartition(".")[2]: k for k in keys}
    for names, cutoff in ((siblings, 0.6), (anywhere, 0.8)):
        if close := difflib.get_close_matches(leaf, names, n=1, cutoff=cutoff):
            return f"; did you mean {names[close[0]]}?"
    return f"; {section or 'the top level'} knows: {', '.join(sorted(siblings))}" if siblings else ""
