"""Proves a benchmark before a model is measured on it: known answers pass, every time, and no answer passes nothing.

Each known answer is judged twice, by two judges that remember nothing. Changes no task but its tags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from reward_farm.problem import Submission
from reward_farm.verdict import InfraFault, Scored, Verdict
from trainer.tasks.task import Task

UNVERIFIED = "unverified"
"""Tag of a task that was not proved: results are given without those tasks, too."""
ROUND = 64
"""Tasks judged at a time: two batches of the farm, and a progress bar that moves."""

JudgeMany = Callable[[Sequence[Submission]], Sequence[Verdict]]


class Standing(StrEnum):
    """What is known of a task."""

    VERIFIED = "verified"
    """Its known answer passes twice, and an answer without a body does not."""
    UNSATISFIED = "unsatisfied"
    """Its known answer fails: the tests, or the answer, are wrong."""
    FLAKY = "flaky"
    """Its known answer passes sometimes."""
    HOLLOW = "hollow"
    """`todo!()` passes: the tests test nothing."""
    UNANSWERED = "unanswered"
    """No answer is known."""
    NOT_JUDGED = "not_judged"
    """A fault of ours came between."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A task's standing, and the reason where it is not verified."""

    task: Task
    standing: Standing
    reason: str = ""


def prove(tasks: Sequence[Task], first: JudgeMany, second: JudgeMany) -> Iterator[Proof]:
    """The standing of each task. `first` and `second` must not share a cache."""
    for start in range(0, len(tasks), ROUND):
        some = tasks[start : start + ROUND]
        hollow = first([Submission(f"{task.id}#todo", unanswered(task), task.problem) for task in some])
        known = [task for task in some if task.solved]
        asked = [Submission(task.id, task.solved, task.problem) for task in known]
        verdicts = {task.id: pair for task, *pair in zip(known, first(asked), second(asked), strict=True)}
        for task, empty in zip(some, hollow, strict=True):
            yield _proof(task, empty, verdicts.get(task.id, []))


def marked(proofs: Sequence[Proof]) -> tuple[Task, ...]:
    """The tasks, those that were not verified tagged so."""
    return tuple(
        replace(
            proof.task,
            tags=tuple(tag for tag in proof.task.tags if tag != UNVERIFIED)
            + (() if proof.standing is Standing.VERIFIED else (UNVERIFIED,)),
        )
        for proof in proofs
    )


def unanswered(task: Task) -> str:
    """The file with `todo!()` where the answer should be."""
    return task.source("\n    todo!()\n}\n" if not task.suffix else " todo!() ")


def _proof(task: Task, empty: Verdict, known: Sequence[Verdict]) -> Proof:
    faults = [verdict for verdict in (empty, *known) if isinstance(verdict, InfraFault)]
    if faults:
        return Proof(task, Standing.NOT_JUDGED, faults[0].reason)
    if isinstance(empty, Scored) and empty.passed:
        return Proof(task, Standing.HOLLOW, "todo!() passes")
    if not known:
        return Proof(task, Standing.UNANSWERED)
    once, again = (verdict for verdict in known if isinstance(verdict, Scored))
    if once.outcome is not again.outcome:
        return Proof(task, Standing.FLAKY, f"{once.outcome}, then {again.outcome}")
    return Proof(task, Standing.VERIFIED) if once.passed else Proof(task, Standing.UNSATISFIED, _words(once))


def _words(verdict: Scored) -> str:
    said = [f"{d.code or d.level}: {d.message}" for d in verdict.diagnostics if d.level == "error"]
    said += [f"{case.status}: {case.got}" for case in verdict.cases if case.status != "passed"]
    return ": ".join([str(verdict.outcome), *said[:1]])
