"""One evaluated completion: what was asked, what the model wrote, what the farm said. One line of JSON.

A sample's key is a hash of everything that its text and its verdict depend on, so results can be kept between runs
without ever being mistaken for those of another checkpoint, task, compiler or sampling.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from reward_farm.verdict import Scored, Verdict
from trainer.evaluation.settings import EvaluationSettings
from trainer.tasks.task import Split, Task


class Mode(StrEnum):
    """How a completion was sampled."""

    SAMPLED = "sampled"
    GREEDY = "greedy"
    ALONE = "alone"
    """Greedy, with nothing else being generated: it is timed, and never judged."""


class PromptForm(StrEnum):
    """How a task was put to the model."""

    BASE = "base"
    """Code to go on with."""
    CHAT = "chat"
    """A request in words, through the model's chat template."""
    FIM = "fim"
    """Code before and after a hole, between the model's own markers."""


class Extraction(StrEnum):
    """What of an answer was judged."""

    WHOLE = "whole"
    """All of it, as training rewards it."""
    STRICT = "strict"
    """Up to the end of the function asked for, as MultiPL-E cuts."""
    LENIENT = "lenient"
    """With the items that follow it, without the model's own `main` and tests."""


EXTRACTION_RULE = 2
"""Raised when an answer is taken apart in another way: samples are then judged anew."""


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
    form: PromptForm = PromptForm.BASE
    text_key: str = ""
    """As `key`, of what the text alone depends on: another compiler judges the same text anew."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote, before anybody judged it. One line of JSON."""

    key: str
    """`SamplePlan.text_key`."""
    task: str
    mode: Mode
    index: int
    text: str
    tokens: int
    truncated: bool
    latency_ms: float = 0.0
    form: PromptForm = PromptForm.BASE


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
    """On `source`."""
    form: PromptForm = PromptForm.BASE
    extraction: Extraction = Extraction.WHOLE
    """How `source` was taken from the answer: WHOLE or STRICT."""
    source: str = ""
    """The whole file that was judged. Results from before it was kept have none: prompt and completion it was then."""
    lenient_source: str = ""
    """The file of the lenient extraction, where that is another than `source`."""
    lenient_verdict: Verdict | None = None
    """The verdict on `lenient_source`; None where there is none, and `verdict` holds for both."""
    latency_ms: float = 0.0
    """From the request to its last token, beside whatever else was being generated. 0 where it wasn't measured."""
    verified: bool = True
    """A known solution passes this task. False for items of benchmarks that nothing is known to solve."""

    @property
    def lenient(self) -> Scored | None:
        """The verdict on the lenient extraction, or None where the fault was ours."""
        verdict = self.lenient_verdict or self.verdict
        return verdict if isinstance(verdict, Scored) else None

    @property
    def scored(self) -> Scored | None:
        """The verdict, or None where the fault was ours."""
        return self.verdict if isinstance(self.verdict, Scored) else None


FormOf: TypeAlias = Callable[[Task], PromptForm]
"""How a task is put to the model at hand."""


def plan_samples(
    tasks: Iterable[Task], settings: EvaluationSettings, identity: Identity, form_of: FormOf = lambda _: PromptForm.BASE
) -> list[SamplePlan]:
    """Every completion that an evaluation needs, in a fixed order."""
    draws = [(Mode.SAMPLED, index, settings.temperature) for index in range(settings.samples_per_task)]
    if settings.greedy:
        draws.insert(0, (Mode.GREEDY, 0, 0.0))
    return [
        _plan(task, problem, mode, index, temperature, settings, identity, form_of(task))
        for task, problem in ((task, repr(task.problem)) for task in tasks)
        for mode, index, temperature in draws
    ]


def plan_probes(
    tasks: Sequence[Task], settings: EvaluationSettings, identity: Identity, form_of: FormOf = lambda _: PromptForm.BASE
) -> list[SamplePlan]:
    """Completions to time, of tasks all over the benchmark."""
    count = min(settings.latency_probes, len(tasks))
    chosen = [tasks[number * len(tasks) // count] for number in range(count)]
    return [_plan(task, repr(task.problem), Mode.ALONE, 0, 0.0, settings, identity, form_of(task)) for task in chosen]


def benchmark_sha256(tasks: Sequence[Task]) -> str:
    """A hash of the questions and the hidden cases, whatever their order."""
    return _hash(sorted(_hash([task.id, task.prompt, repr(task.problem)]) for task in tasks))


def _plan(
    task: Task,
    problem: str,
    mode: Mode,
    index: int,
    temperature: float,
    settings: EvaluationSettings,
    identity: Identity,
    form: PromptForm,
) -> SamplePlan:
    seed = int(_hash([settings.seed, task.id, mode, index])[:8], 16) >> 1
    asked = [task.id, task.prompt, problem, mode, index, temperature, settings.max_tokens, seed]
    # As much again as earlier results had, so that they are still found; what is new comes only where it is used.
    new = [] if form is PromptForm.BASE else [form]
    extracted = [EXTRACTION_RULE] if settings.extract else []
    key = _hash([identity.checkpoint_sha256, identity.judged_by, *asked, *new, *extracted])[:24]
    written = [task.prompt, task.suffix, task.instruction, mode, index, temperature, settings.max_tokens, seed, form]
    text_key = _hash([identity.checkpoint_sha256, *written])[:24]
    return SamplePlan(key, task, mode, index, temperature, seed, form, text_key)


def _hash(values: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()
