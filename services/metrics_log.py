"""metrics.jsonl: one JSON object a step of any phase, appended. Never holds what the state files or checkpoints hold.

A step that was redone after a kill has a second row: readers take the last one of a phase and step.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from services.tensorboard import Board


class MetricsLog:
    """Appends rows, and shows them on a board if there is one. Opening it drops a last line that a kill cut off."""

    def __init__(self, path: Path, board: Board | None = None) -> None:
        self._board = board
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and (text := path.read_bytes()) and not text.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(text.rfind(b"\n") + 1)
        self._file = path.open("a")

    def write(self, phase: str, step: int, row: Mapping[str, Any]) -> None:
        """Append one row. NaN and infinity become null, for JSON has no such numbers."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        line = {"time": round(time.time(), 3), "phase": phase, "step": step, **clean}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._board is not None:
            self._board.write(phase, step, row)

    def close(self) -> None:
        """Close the file and the board."""
        if self._board is not None:
            self._board.close()
        self._file.close()


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The last row of each phase and step, in the order in which they were first written."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    if path.exists():
        with path.open() as lines:
            for line in lines:
                if line.endswith("\n"):
                    row = json.loads(line)
                    rows[row["phase"], row["step"]] = row
    yield from rows.values()
