"""What can go wrong in an export through no fault of the code."""

from __future__ import annotations

from trainer.errors import TrainerError


class ExportError(TrainerError):
    """The model can't be written as the file that was asked for, or that file can't be read back."""


class NotTernary(ExportError):
    """A ternary type was asked for, and would change the weights: the model was not trained ternary."""
