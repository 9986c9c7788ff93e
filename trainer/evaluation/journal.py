"""The samples of an evaluation on disk, one JSON line each, appended as they are judged.

A line counts once its newline is on disk: after SIGKILL at any moment all finished chunks are there, and a torn last
line is cut off. Never judges, never summarises.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from pydantic import TypeAdapter, ValidationError

from trainer.corpus.atomic import atomic_file
from trainer.evaluation.sample import Sample

CHUNK = 32
"""Samples written with one fsync (milliseconds); killed, an evaluation makes at most so many again."""

_SAMPLE = TypeAdapter(Sample)


class Journal:
    """An append-only file of samples. Use it as a context manager: leaving writes what is still waiting."""

    def __init__(self, path: Path) -> None:
        self._waiting: list[Sample] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._file.truncate(_whole_bytes(path))

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            self._file.close()

    def append(self, sample: Sample) -> None:
        """Add a sample; every `CHUNK` of them is put on disk."""
        self._waiting.append(sample)
        if len(self._waiting) >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Put all samples added so far on disk."""
        self._file.write(_lines(self._waiting))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._waiting.clear()


def read_samples(path: Path) -> dict[str, Sample]:
    """The samples in a journal by key, the last of each; a line that is no sample (torn, rotten) is left out."""
    samples: dict[str, Sample] = {}
    for line in path.read_bytes()[: _whole_bytes(path)].splitlines() if path.exists() else ():
        try:
            sample = _SAMPLE.validate_json(line)
        except ValidationError:
            continue
        samples[sample.key] = sample
    return samples


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Replace a journal by exactly these samples."""
    with atomic_file(path) as file:
        file.write(_lines(samples))


def _lines(samples: Iterable[Sample]) -> bytes:
    return b"".join(_SAMPLE.dump_json(sample) + b"\n" for sample in samples)


def _whole_bytes(path: Path) -> int:
    """Bytes up to the last newline."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0
