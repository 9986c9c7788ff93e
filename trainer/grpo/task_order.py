"""The endless sequence of tasks that a run trains on. Pure: the task at an index depends on the seed alone.

So a data cursor is an integer, and a group that was in flight when a run was killed is asked for again by its index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from trainer.tasks.task import Task


class TaskSource(Protocol):
    """Where tasks come from."""

    def task(self, index: int) -> Task:
        """The index-th task of the run: always the same for the same index."""
        ...


class ShuffledTasks:
    """Every task once an epoch, in an order that the seed and the epoch decide."""

    def __init__(self, tasks: Sequence[Task], seed: int) -> None:
        self._tasks = tuple(tasks)
        self._seed = seed
        self._epoch = -1
        self._order: tuple[int, ...] = ()

    def task(self, index: int) -> Task:
        epoch, place = divmod(index, len(self._tasks))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = tuple(np.random.default_rng((self._seed, epoch)).permutation(len(self._tasks)).tolist())
        return self._tasks[self._order[place]]

    def __deepcopy__(self, memo: dict[int, Any]) -> ShuffledTasks:
        """Itself: RLlib copies its config several times, and tasks never change."""
        return self
