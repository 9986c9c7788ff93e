"""What can go wrong in training through no fault of the code. Each says what, where, and what to do."""

from __future__ import annotations


class TrainerError(Exception):
    """Base of the trainer's errors; its text is fit for a user."""


class CheckpointError(TrainerError):
    """A checkpoint is missing, incomplete or corrupt."""


class DivergedError(TrainerError):
    """The loss became NaN or infinite."""


class AdapterError(TrainerError):
    """A low-rank adapter doesn't fit the model, or the checkpoint that it is to go on from."""


class OutOfMemory(TrainerError):
    """Not even the smallest piece of a step fits the memory."""


class ImportFailed(TrainerError):
    """A model that was given can't be opened."""
