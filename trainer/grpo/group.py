"""A group: one task, its completions and their verdicts. The unit that is sampled, judged, buffered and trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reward_farm.verdict import Scored, Verdict
from rollout.types import Completion
from trainer.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion, its text (without the end-of-text token), and what the farm said of the file it stands for."""

    completion: Completion
    text: str
    verdict: Verdict
    source: str = ""

    @property
    def scored(self) -> Scored | None:
        """The verdict, or None if it was a fault of ours."""
        return self.verdict if isinstance(self.verdict, Scored) else None


@dataclass(frozen=True, slots=True)
class Group:
    """A finished group. `index` is the task's place in the run's endless sequence of tasks."""

    index: int
    task: Task
    samples: tuple[Sample, ...]

    @property
    def rewards_G(self) -> NDArray[np.float64]:
        """Rewards, 0 to 30; NaN where the verdict was a fault of ours."""
        return np.array([s.scored.reward.total if s.scored else np.nan for s in self.samples])

    @property
    def valid_G(self) -> NDArray[np.bool_]:
        """Which samples have a reward."""
        return np.array([s.scored is not None for s in self.samples], dtype=bool)

    @property
    def oldest_version(self) -> int:
        """The oldest policy version that sampled any token of any completion."""
        return min(s.completion.oldest_version for s in self.samples)
