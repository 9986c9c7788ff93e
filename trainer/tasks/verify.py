"""Proves a bank: every reference compiles without a warning and passes its hidden cases. Never changes the bank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reward_farm.problem import Submission
from reward_farm.verdict import Scored, Verdict
from trainer.tasks.task import Task

JudgeMany = Callable[[Sequence[Submission]], Sequence[Verdict]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A task whose reference is not good enough, and what was seen."""

    task_id: str
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What became of the references."""

    judged: int
    by_family: Mapping[str, int]
    failures: tuple[Failure, ...]
    mean_reward: float

    @property
    def ok(self) -> bool:
        """No reference failed."""
        return not self.failures


def verify(tasks: Iterable[Task], judge_many: JudgeMany) -> VerifyReport:
    """Judges the reference of each task, e.g. `verify(bank.all, judge.judge)` with a `reward_farm.judge.Judge`."""
    tasks = tuple(tasks)
    verdicts = judge_many([Submission(task.id, task.solved, task.problem) for task in tasks])
    pairs = list(zip(tasks, verdicts, strict=True))
    rewards = [verdict.reward.total for verdict in verdicts if isinstance(verdict, Scored)]
    return VerifyReport(
        judged=len(tasks),
        by_family=Counter(task.family for task in tasks),
        failures=tuple(
            Failure(task.id, reason, task.solved)
            for task, verdict in pairs
            if (reason := _complaint(verdict)) is not None
        ),
        mean_reward=sum(rewards) / len(rewards) if rewards else 0.0,
    )


def _complaint(verdict: Verdict) -> str | None:
    if not isinstance(verdict, Scored):
        return f"not judged: {verdict.reason}"
    if not verdict.passed:
        failed = [
            f"case {number} {case.status}: {case.got}"
            for number, case in enumerate(verdict.cases)
            if case.status != "passed"
        ]
        return "; ".join(
            [verdict.cheat or str(verdict.outcome), *failed, *(each.message for each in verdict.diagnostics)]
        )
    return "; ".join(each.message for each in verdict.diagnostics) or None
