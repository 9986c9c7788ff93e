"""The figures of metrics.jsonl once more, for TensorBoard: `tensorboard/` in the run's folder. Reads nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FLUSH_SECONDS = 10


class Board:
    """Writes scalars `<phase>/<figure>`; close it at the end."""

    def __init__(self, folder: Path) -> None:
        # Imports torch where there is one: better two seconds here than while events of a phase wait to be kept.
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), flush_secs=FLUSH_SECONDS)

    def write(self, phase: str, step: int, row: Mapping[str, Any]) -> None:
        """Add one step's numbers."""
        for name, value in row.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                self._writer.add_scalar(f"{phase}/{name}", value, step)

    def close(self) -> None:
        """Write what is waiting."""
        self._writer.close()
