"""Which task comes next: seeded, resumable, even over families. Pure; knows nothing of Ray or prompts in flight.

Draw number `i` is a function of the seed and `i` alone: every round visits each family once in a new order, and a
family shows all its tasks in a new order before it repeats one. Resuming is therefore exact and costs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random
from typing import TypedDict, TypeVar

from trainer.tasks.errors import SamplerStateError
from trainer.tasks.task import Task

T = TypeVar("T")


class SamplerState(TypedDict):
    """All that a sampler needs to go on; plain JSON."""

    seed: int
    drawn: int
    tasks: str


class TaskSampler:
    """An endless iterator over tasks, uniform over families and then over tasks."""

    def __init__(self, tasks: Sequence[Task], seed: int = 0) -> None:
        if not tasks:
            raise ValueError("a sampler needs at least one task")
        self._families: dict[str, list[Task]] = {}
        for task in sorted(tasks, key=lambda task: task.id):
            self._families.setdefault(task.family, []).append(task)
        self._fingerprint = hashlib.sha256("\n".join(sorted(task.id for task in tasks)).encode()).hexdigest()[:16]
        self._seed = seed
        self._drawn = 0

    def __iter__(self) -> TaskSampler:
        return self

    def __next__(self) -> Task:
        visit, place = divmod(self._drawn, len(self._families))
        self._drawn += 1
        family = self._shuffled(sorted(self._families), f"{visit}")[place]
        tasks = self._families[family]
        epoch, index = divmod(visit, len(tasks))
        return self._shuffled(tasks, f"{family}:{epoch}")[index]

    def state(self) -> SamplerState:
        """The position, to be saved with a checkpoint."""
        return {"seed": self._seed, "drawn": self._drawn, "tasks": self._fingerprint}

    def restore(self, state: SamplerState) -> None:
        """Goes on from `state`. Raises SamplerStateError if it was taken over other tasks."""
        if state["tasks"] != self._fingerprint:
            raise SamplerStateError(
                "the saved sampler position belongs to a different task bank; resume with the bank of that run, "
                "or start a new run"
            )
        self._seed, self._drawn = state["seed"], state["drawn"]

    def _shuffled(self, items: Sequence[T], salt: str) -> list[T]:
        order = list(items)
        Random(f"{self._seed}:{salt}").shuffle(order)
        return order
