"""The curriculum: tasks whose next group would probably be all right or all wrong are drawn less often. A pure state.

A task's pass rate p is remembered over its last visits. A group of G completions has some that pass and some that don't
with probability 1 - p^G - (1 - p)^G: that is the chance that a drawn task is sampled; otherwise the next one is drawn.
A task that was never seen is as good as one with p = 1/2. Whether a draw is skipped depends on the seed, the draw's
index and the history alone, so a resumed run skips the same ones.

It looks at passed tests only: a task that nobody solves may still teach to compile, which is why no chance is 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from trainer.grpo.group import Group

History = Mapping[str, tuple[float, float]]
"""Of each task: completions judged and completions passed, older visits weighing less."""

MEMORY = 0.5
"""What an older visit weighs at the next one: the policy has changed meanwhile."""

SMALLEST_CHANCE = 0.1
"""A task that is hopeless or mastered today is looked at again, and at most ten draws are needed on average."""


class Curriculum:
    """See the module."""

    def __init__(self, group_size: int, seed: int, history: History) -> None:
        self._group_size, self._seed = group_size, seed
        self._history = {task: (float(judged), float(passed)) for task, (judged, passed) in history.items()}

    @property
    def history(self) -> dict[str, tuple[float, float]]:
        """What a checkpoint must keep."""
        return dict(self._history)

    def observe(self, groups: Iterable[Group]) -> None:
        """Remember a step's groups. Faults of ours say nothing of a task."""
        for group in sorted(groups, key=lambda one: one.index):
            verdicts = [sample.scored for sample in group.samples if sample.scored is not None]
            judged, passed = self._history.get(group.task.id, (0.0, 0.0))
            self._history[group.task.id] = (
                MEMORY * judged + len(verdicts),
                MEMORY * passed + sum(verdict.passed for verdict in verdicts),
            )

    def chance(self, task: str) -> float:
        """The chance that a draw of this task is sampled. The pass rate is estimated with Jeffreys' prior."""
        judged, passed = self._history.get(task, (0.0, 0.0))
        rate = (passed + 0.5) / (judged + 1.0)
        mixed = 1.0 - rate**self._group_size - (1.0 - rate) ** self._group_size
        return max(SMALLEST_CHANCE, mixed) if judged else 1.0

    def accepts(self, index: int, task: str) -> bool:
        """Whether the index-th draw, of this task, is sampled."""
        digest = hashlib.blake2b(f"{self._seed}/curriculum/{index}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") / 2**64 < self.chance(task)
