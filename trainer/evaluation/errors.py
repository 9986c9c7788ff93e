"""What can go wrong in an evaluation through no fault of the model. Each says what, where, and what to do."""

from __future__ import annotations

from trainer.errors import TrainerError


class EvaluationError(TrainerError):
    """A checkpoint could not be evaluated."""


class TooManyFaults(EvaluationError):
    """The farm could not judge so many samples that rates over the rest would mislead."""


class ResultsUnreadable(EvaluationError):
    """An evaluation's files are missing or not ours."""
