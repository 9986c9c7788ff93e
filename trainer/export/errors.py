"""What can go wrong in an export through no fault of the code."""

from __future__ import annotations

from trainer.errors import TrainerError


class ExportError(TrainerError):
    """The model can't be written as the GGUF file that was asked for, or that file can't be read back."""
