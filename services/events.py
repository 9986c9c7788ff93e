"""What a phase tells its supervisor: JSON lines through a pipe of their own, away from what libraries print.

child: Reporter ──one JSON line an event──► pipe ──► parent: `events`
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from io import TextIOBase
from typing import Any, TextIO, TypeAlias


@dataclass(frozen=True, slots=True)
class Progress:
    """Step `step` of `total` is done. `figures` are to be shown (loss, reward ...), `row` is to be kept as metrics."""

    step: int
    total: int
    figures: dict[str, float] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the operator."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The phase is finished; the summary goes into the run's state."""

    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The phase gave up; `message` is for the operator. `restart`: a new process may get further (memory ran out)."""

    message: str
    restart: bool = False


Event: TypeAlias = Progress | Note | Done | Failed
KINDS: Mapping[str, type[Event]] = {kind.__name__: kind for kind in (Progress, Note, Done, Failed)}


class Reporter:
    """The phase's end of the pipe."""

    def __init__(self, stream: TextIO | TextIOBase) -> None:
        self._stream = stream

    def progress(self, step: int, total: int, figures: Mapping[str, float], row: Mapping[str, Any]) -> None:
        """One step is done."""
        self.send(Progress(step, total, dict(figures), dict(row)))

    def note(self, text: str) -> None:
        """A line for the operator."""
        self.send(Note(text))

    def send(self, event: Event) -> None:
        """Write one event; a supervisor that is gone ends the phase by its own means."""
        self._stream.write(json.dumps([type(event).__name__, asdict(event)], default=str) + "\n")
        self._stream.flush()


def events(stream: TextIO) -> Iterator[Event]:
    """The parent's end: events until the pipe closes. A line cut off by a kill is dropped."""
    for line in stream:
        if line.endswith("\n"):
            kind, fields = json.loads(line)
            yield KINDS[kind](**fields)
