"""The endless sequence of tasks that a run trains on, by index: the data cursor is an integer.

So a group that was in flight when a run was killed is asked for again by its index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from trainer.tasks.cases import with_fresh_cases
from trainer.tasks.sampler import TaskSampler
from trainer.tasks.task import Task


class TaskSource(Protocol):
    """Where tasks come from."""

    @property
    def fingerprint(self) -> str:
        """Changes when the sequence does."""
        ...

    def task(self, index: int) -> Task:
        """The index-th task of the run: always the same for the same index."""
        ...


class ShuffledTasks:
    """The draws of a `TaskSampler`: even over families, every task of a family before one is repeated.

    Each draw has hidden cases of its own: a group's completions are compared on the same ones, the next time that the
    task comes they are others.
    """

    def __init__(self, tasks: Sequence[Task], seed: int) -> None:
        self._sampler = TaskSampler(tasks, seed)
        self._start = self._sampler.state()
        self.fingerprint = f"{self._start['tasks']}/{seed}"

    def task(self, index: int) -> Task:
        self._sampler.restore({**self._start, "drawn": index})
        return with_fresh_cases(next(self._sampler), f"{self._start['seed']}:{index}")

    def __deepcopy__(self, memo: dict[int, Any]) -> ShuffledTasks:
        """Itself: RLlib copies its config several times, and tasks never change."""
        return self
