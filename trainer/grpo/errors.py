"""What can go wrong in the reinforcement-learning phase. Each says what was wrong, where, and what to do."""

from __future__ import annotations

from trainer.errors import TrainerError


class GrpoError(TrainerError):
    """Base of this package's errors; its text is fit for a user."""


class RolloutStalled(GrpoError):
    """The groups of a step did not arrive before the deadline, or sampling itself broke."""


class TooManyFaults(GrpoError):
    """Too many recent verdicts were faults of ours: the circuit breaker opened."""


class LearnerOutOfMemory(GrpoError):
    """A single row does not fit the learner's memory."""

    new_process_helps = True


class LearnerDied(GrpoError):
    """A learner's process is gone, and what it had learned since the last checkpoint with it."""

    new_process_helps = True


class ResumeMismatch(GrpoError):
    """The checkpoint to go on from belongs to a run with other settings."""


class NoChatTemplate(GrpoError):
    """A chat is wanted of a model that knows none."""
