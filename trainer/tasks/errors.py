"""What can go wrong with task banks through no fault of the code. Each says what, where, and what to do."""

from __future__ import annotations

from trainer.errors import TrainerError


class TaskBankError(TrainerError):
    """A task bank file is missing, incomplete or corrupt; the text names file and line."""


class SamplerStateError(TrainerError):
    """A saved sampler position belongs to other tasks than those at hand."""
