"""What can go wrong when a folder is mined."""

from __future__ import annotations

from trainer.errors import TrainerError


class NothingToMine(TrainerError):
    """A folder holds no Rust sources, or none of its functions became a task."""
