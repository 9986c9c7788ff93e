"""What the operator sees: greppable lines in the log and the terminal; a live table and a bar where there is a TTY.

2026-08-01 12:00:00 PHASE 2/7 base: started
2026-08-01 12:00:05 base 40/400 loss=5.312 grad_norm=1.02 eta=1m52s
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from services.live import Row, live_view

SHOWN_STEPS = 200
"""Of which the live view knows the figures."""
LINE_SECONDS = 2.0
"""Between two progress lines: a fast phase makes hundreds of steps a second, and nobody reads those."""


class Operator:
    """Writes to the log always, and to the terminal in the form that it can show."""

    def __init__(self, log: Path, console: Console | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._file = log.open("a")
        self._console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._rows: deque[Row] = deque(maxlen=SHOWN_STEPS)
        self._pace = Pace()
        self._written = 0.0

    def say(self, text: str) -> None:
        """A line in the log and on the terminal."""
        self._write(text)
        self._console.print(text, markup=False)

    def record(self, text: str) -> None:
        """Lines in the log alone."""
        self._write(text)

    def phase(self, number: int, total: int, name: str, what: str) -> None:
        """The line that marks a phase's start or end; its progress starts anew."""
        self._stop_live()
        self._rows.clear()
        self._pace = Pace()
        self._written = 0.0
        self.say(f"PHASE {number}/{total} {name}: {what}")

    def progress(self, name: str, step: int, total: int, figures: Mapping[str, float], row: Row | None = None) -> None:
        """A step: its live view on a TTY; else, and in the log, a line every two seconds, and for the last step.

        `figures` are for the line, `row` has all that were measured.
        """
        now = time.monotonic()
        self._pace.mark(step, total, now)
        if row:
            self._rows.append(row)
        shown = " ".join(f"{key}={value:.4g}" for key, value in figures.items())
        if self._console.is_terminal:
            self._show(name, step, total, shown)
        if now - self._written >= LINE_SECONDS or step >= total:
            self._written = now
            eta = f"eta={duration(self._pace.seconds_for(total - step))}"
            line = " ".join(filter(None, (name, f"{step}/{total}", shown, eta)))
            self._write(line)
            if not self._console.is_terminal:
                self._console.print(line, markup=False)

    def close(self) -> None:
        """End the live view and the log."""
        self._stop_live()
        self._file.close()

    def _write(self, text: str) -> None:
        self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        self._file.flush()

    def _show(self, name: str, step: int, total: int, shown: str) -> None:
        table = live_view(list(self._rows))
        left = duration(self._pace.seconds_for(total - step))
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(f"{left} left")]
        bar = Progress(*columns, *([] if table else [TextColumn(shown)]))
        bar.add_task(name, total=total, completed=step)
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(Group(*([table] if table else []), bar), refresh=True)

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._live = None


class Pace:
    """Seconds a step, over the last steps, for the ETA. Engines that start slowly are soon forgotten."""

    def __init__(self) -> None:
        self._total = 0
        self._marks: deque[tuple[int, float]] = deque(maxlen=20)

    def mark(self, step: int, total: int, now: float) -> None:
        """`step` of `total` was done at `now`. A lower step or another total is other work, with a pace of its own."""
        if total != self._total or (self._marks and step < self._marks[-1][0]):
            self._marks.clear()
        self._total = total
        self._marks.append((step, now))

    def seconds_for(self, steps: int) -> float | None:
        """Seconds that so many more steps will take, or None before anything can be said."""
        (first, began), (last, now) = self._marks[0], self._marks[-1]
        return steps * (now - began) / (last - first) if len(self._marks) > 2 and last > first else None


def duration(seconds: float | None) -> str:
    """`1h02m`, `3m20s`, `12s`, or `?`."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
