"""The samples of an evaluation on disk, one JSON line each, appended as they are judged; and its generations likewise.

A line is with the kernel once it was appended: SIGKILL at any moment loses none, a power cut the last seconds'. A torn
last line is cut off. Never judges, never summarises.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from trainer.corpus.atomic import atomic_file
from trainer.evaluation.sample import Generation, Sample

SYNC_SECONDS = 2.0
"""Between two fsyncs, which take milliseconds each, while all waits. After a power cut, so much is made again."""

_SAMPLE = TypeAdapter(Sample)
_GENERATION = TypeAdapter(Generation)
T = TypeVar("T", Sample, Generation)


class Journal(Generic[T]):
    """An append-only file of samples or generations. Use it as a context manager: leaving puts all on disk."""

    def __init__(self, path: Path) -> None:
        self._synced = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._file.truncate(_whole_bytes(path))

    def __enter__(self) -> Journal[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            self._file.close()

    def append(self, entry: T) -> None:
        """Add a line."""
        self._file.write(_line(entry))
        self._file.flush()
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Put all that was added so far on disk."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def read_samples(path: Path) -> dict[str, Sample]:
    """The samples in a journal by key, the last of each; a line that is no sample (torn, rotten) is left out."""
    return _read(path, _SAMPLE)


def read_generations(path: Path) -> dict[str, Generation]:
    """The generations in a journal by key, read as `read_samples` does."""
    return _read(path, _GENERATION)


def _read(path: Path, kind: TypeAdapter[T]) -> dict[str, T]:
    entries: dict[str, T] = {}
    for line in path.read_bytes()[: _whole_bytes(path)].splitlines() if path.exists() else ():
        try:
            entry = kind.validate_json(line)
        except ValidationError:
            continue
        entries[entry.key] = entry
    return entries


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Replace a journal by exactly these samples."""
    with atomic_file(path) as file:
        file.writelines(map(_line, samples))


def _line(entry: Sample | Generation) -> bytes:
    return (_SAMPLE if isinstance(entry, Sample) else _GENERATION).dump_json(entry) + b"\n"  # type: ignore[arg-type]


def _whole_bytes(path: Path) -> int:
    """Bytes up to the last newline."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0
