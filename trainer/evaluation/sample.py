"""One evaluated completion: what was asked, what the model wrote, what the farm said. One line of JSON.

A sample's key is a hash of everything that its text and its verdict depend on, so results can be kept between runs
without ever being mistaken for those of another checkpoint, task, compiler or sampling.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from reward_farm.verdict import Scored, Verdict
from trainer.evaluation.settings import EvaluationSettings
from trainer.tasks.task import Split, Task


class Mode(StrEnum):
    """How a completion was sampled."""

    SAMPLED = "sampled"
    GREEDY = "greedy"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a result depends on besides task and sampling."""

    checkpoint_sha256: str
    judged_by: str
    """The compiler's version and the reward's weights, in words."""


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """A completion to make. `seed` is its own, so it can be made again alone."""

    key: str
    task: Task
    mode: Mode
    index: int
    temperature: float
    seed: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A completion and its verdict. `tokens` counts the end-of-text token if there is one."""

    key: str
    task: str
    family: str
    split: Split
    mode: Mode
    index: int
    prompt: str
    completion: str
    tokens: int
    truncated: bool
    """It hit `max_tokens` before it ended by itself."""
    verdict: Verdict

    @property
    def scored(self) -> Scored | None:
        """The verdict, or None where the fault was ours."""
        return self.verdict if isinstance(self.verdict, Scored) else None


def plan_samples(tasks: Iterable[Task], settings: EvaluationSettings, identity: Identity) -> list[SamplePlan]:
    """Every completion that an evaluation needs, in a fixed order."""
    draws = [(Mode.SAMPLED, index, settings.temperature) for index in range(settings.samples_per_task)]
    if settings.greedy:
        draws.insert(0, (Mode.GREEDY, 0, 0.0))
    return [
        _plan(task, mode, index, temperature, settings, identity)
        for task in tasks
        for mode, index, temperature in draws
    ]


def benchmark_sha256(tasks: Sequence[Task]) -> str:
    """A hash of the questions and the hidden cases, whatever their order."""
    return _hash(sorted(_hash([task.id, task.prompt, repr(task.problem)]) for task in tasks))


def _plan(
    task: Task, mode: Mode, index: int, temperature: float, settings: EvaluationSettings, identity: Identity
) -> SamplePlan:
    seed = int(_hash([settings.seed, task.id, mode, index])[:8], 16) >> 1
    asked = [task.id, task.prompt, repr(task.problem), mode, index, temperature, settings.max_tokens, seed]
    key = _hash([identity.checkpoint_sha256, identity.judged_by, *asked])[:24]
    return SamplePlan(key, task, mode, index, temperature, seed)


def _hash(values: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()
