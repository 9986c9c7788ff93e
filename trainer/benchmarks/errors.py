"""What can go wrong with third parties' tasks. Each says what, where, and what to do."""

from __future__ import annotations

from trainer.errors import TrainerError


class BenchmarkUnreadable(TrainerError):
    """A file of tasks is missing, or lines of it are none; the text names each."""


class BadRow(ValueError):
    """One row is no task; the text says why. Whoever reads the file adds the line."""
