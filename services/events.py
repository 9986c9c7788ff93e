"""What a phase tells its supervisor: JSON lines through a pipe of their own, away from what libraries print.

child: Reporter ──one JSON line an event──► pipe ──► parent: `events`
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from io import TextIOBase
from typing import Any, TextIO, TypeAlias

from services.errors import Interrupted


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
    """The phase gave up; `message` is for the operator. `restart`: a new process may get further."""

    message: str
    restart: bool = False


Event: TypeAlias = Progress | Note | Done | Failed
KINDS: Mapping[str, type[Event]] = {kind.__name__: kind for kind in (Progress, Note, Done, Failed)}


class Reporter:
    """The phase's end of the pipe. A phase that can end after any step says so (`finishes_steps`), and then does."""

    def __init__(self, stream: TextIO | TextIOBase) -> None:
        self._stream = stream
        self._finishes_steps = False
        self.stop_asked = False
        """The operator wants the step in the making to be the last."""

    def finishes_steps(self) -> None:
        """From now on the phase looks at `stop_asked` after every step, saves it and ends."""
        self._finishes_steps = True

    def ask_to_stop(self) -> None:
        """The operator's wish: after the step in the making, or else at once.

        Raises:
            Interrupted: there is no step to finish.
        """
        if not self._finishes_steps:
            raise Interrupted("stopped")
        self.stop_asked = True

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
