"""The models of one replica by name, each with its engine and queue, and their replacement while they answer.

    file changed on disk ─► seen twice alike ─► loaded beside the old ─► one prompt ─► new requests get it
                                                        └─ can't be loaded: said, and the old one stays

A request keeps the model that it began with; the old engine is freed when the last such request ends.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from serve.engine import Engine
from serve.engines import load_engine, read_model
from serve.errors import ApiError, EngineError, ServeError
from serve.metrics import ServeMetrics
from serve.scheduler import Scheduler
from serve.settings import ServeSettings

_log = logging.getLogger(__name__)

Stamp: TypeAlias = tuple[int, int, int]
"""What changes when a file is written or replaced."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model that answers."""

    name: str
    engine: Engine
    scheduler: Scheduler
    stamp: Stamp

    @property
    def created(self) -> int:
        """Unix time of its file."""
        return self.engine.file.created


class Models:
    """The first is the one for requests that name none."""

    def __init__(self, settings: ServeSettings, metrics: ServeMetrics | None = None) -> None:
        """Load all, one after the other.

        Raises:
            ServeError, EngineError: a file is no model, an engine refuses it, or two have the same name.
        """
        self.metrics = metrics or ServeMetrics()
        self._settings = settings
        self._served: dict[str, Served] = {}
        self._refused: dict[str, Stamp] = {}
        self._seen: dict[str, Stamp] = {}
        first = settings.name or read_model(settings.model).name
        if first in settings.models:
            raise ServeError(f"two models have the same id, '{first}': {settings.model} has it in its file. Name one.")
        self._files = {first: settings.model, **settings.models}
        for name, path in self._files.items():
            self._served[name] = self._load(name, path)

    @property
    def all(self) -> list[Served]:
        """In the settings' order."""
        return list(self._served.values())

    def get(self, asked: str | None) -> Served:
        """The model of this name; of none, or an empty one as editors send it, the first.

        Raises:
            ApiError: there is none.
        """
        served = self._served.get(asked) if asked else self.all[0]
        if served is None:
            known = ", ".join(f"'{name}'" for name in self._served)
            raise ApiError(
                f"The model '{asked}' does not exist. This server has {known}.",
                status=404,
                param="model",
                code="model_not_found",
            )
        return served

    def check(self) -> None:
        """Return if every engine answers; hangs or raises otherwise."""
        for served in self.all:
            served.engine.check()

    async def watch(self, seconds: float) -> None:
        """Look at the files every so often, for ever, and replace the models whose files changed."""
        while True:
            await asyncio.sleep(seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Replace each model whose file has changed, and is the same as when last looked at: it is written whole."""
        for name, path in self._files.items():
            stamp = _stamp(path)
            steady, self._seen[name] = self._seen.get(name) == stamp, stamp or (0, 0, 0)
            if stamp is None or not steady or stamp in (self._served[name].stamp, self._refused.get(name)):
                continue
            try:
                self._served[name] = await asyncio.to_thread(self._load, name, path)
                _log.warning("model '%s' was replaced: its file %s has changed", name, path)
            except (ServeError, EngineError) as error:
                self._refused[name] = stamp
                _log.error("model '%s' stays as it was: %s", name, error)

    def _load(self, name: str, path: Path) -> Served:
        stamp = _stamp(path)
        engine = load_engine(path, self._settings)
        scheduler = Scheduler(engine, self._settings.slots, self._settings.max_queue, self.metrics)
        return Served(name, engine, scheduler, stamp or (0, 0, 0))


def _stamp(path: Path) -> Stamp | None:
    try:
        whole = path.stat()
        parts = [part.stat() for part in path.iterdir()] if path.is_dir() else [whole]
    except OSError:  # between removal and renaming
        return None
    return whole.st_ino, max((part.st_mtime_ns for part in parts), default=0), sum(part.st_size for part in parts)
