"""What a person writes on the command line, as settings. Imports neither ray, fastapi nor llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from serve.errors import ServeError
from serve.settings import ServeSettings


def settings_of(files: Sequence[str], keys: Path | None, **others: Any) -> ServeSettings:
    """Settings of `files`, each a path or `name=path`, of the file of API keys, and of `others` by their names.

    Raises:
        ServeError: two models have one name, only the first goes without, or settings don't fit each other.
        KeyFileError: the keys can't be read.
    """
    from serve.keys import read_keys

    named = [_named(file) for file in files]
    models = dict(named[1:])
    if None in models:
        raise ServeError(f"give the models after the first names, such as --model small={models[None]}.")
    if len(models) != len(named) - 1:
        raise ServeError("two models have the same name. Each --model NAME=FILE needs its own.")
    first_name, first = named[0]
    try:
        return ServeSettings(
            model=first,
            name=first_name,
            models={str(name): path for name, path in models.items()},
            api_keys=read_keys(keys) if keys is not None else (),
            **others,
        )
    except ValidationError as error:
        raise ServeError(
            "; ".join(str(each["msg"]).removeprefix("Value error, ") for each in error.errors())
        ) from error


def _named(file: str) -> tuple[str | None, Path]:
    name, equals, path = file.partition("=")
    # A file whose own path has a `=` is meant as it stands.
    return (name, Path(path)) if equals and name and not Path(file).exists() else (None, Path(file))
