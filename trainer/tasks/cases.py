"""The hidden cases of a task: drawn when it is made, and anew for every group that is asked for it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import chain, islice
from random import Random

from reward_farm.problem import Case
from trainer.tasks.errors import TaskBankError
from trainer.tasks.families import FAMILIES
from trainer.tasks.family import Arguments, Draft
from trainer.tasks.inputs import value
from trainer.tasks.task import Task

HIDDEN_CASES = 5
INPUT_CANDIDATES = 60
"""Arguments drawn to choose the hidden cases from: enough that rare outcomes are nearly always among them."""
_FAMILIES = {family.name: family for family in FAMILIES}


def hidden_cases(draft: Draft, salt: str) -> tuple[Case, ...] | None:
    """Always the same for one draft and salt; None if all of them expect the same value: a constant could pass them."""
    cases = tuple(_choose(draft, Random(salt)))
    return None if all(case.expected == cases[0].expected for case in cases) else cases


def with_fresh_cases(task: Task, salt: str) -> Task:
    """The task with hidden cases that depend on the salt, so that none can be learnt by heart.

    A task of no family here keeps its own; so does one for which no good ones are found.

    Raises TaskBankError if its family now makes another function of its draw than it did.
    """
    if not task.draw:
        return task
    family, problem = _FAMILIES.get(task.family), task.problem
    draft = family.make(Random(task.draw)) if family else None
    if draft is None or not _fits(draft, task):
        raise TaskBankError(
            f"task {task.id} was made by another version of the family {task.family}: its hidden cases can't be drawn "
            "anew. Build the task bank again"
        )
    cases = hidden_cases(draft, f"{task.id}:{salt}")
    return task if cases is None else replace(task, problem=replace(problem, cases=cases))


def _fits(draft: Draft, task: Task) -> bool:
    problem = task.problem
    alike = (draft.entry, tuple(draft.params.values()), draft.returns) == (
        problem.entry, problem.params, problem.returns
    )  # fmt: skip
    return alike and all(repr(draft.oracle(*deepcopy(case.args))) == repr(case.expected) for case in problem.cases)


def _choose(draft: Draft, rng: Random) -> Iterator[Case]:
    """Edges first, then inputs whose expected value is new, then others."""
    seen: dict[str, Case] = {}
    for args in chain(draft.edges, islice(_arguments(draft, rng), INPUT_CANDIDATES)):
        seen.setdefault(repr(args), Case(args, draft.oracle(*deepcopy(args))))
    cases = list(seen.values())
    chosen = cases[: max(1, min(len(draft.edges), HIDDEN_CASES - 2))]
    rest = cases[len(chosen) :]
    for fresh in (True, False):
        for case in rest:
            known = any(repr(case.expected) == repr(other.expected) for other in chosen)
            if len(chosen) < HIDDEN_CASES and case not in chosen and known != fresh:
                chosen.append(case)
    yield from chosen


def _arguments(draft: Draft, rng: Random) -> Iterator[Arguments]:
    """Endless arguments; without `draft.inputs`, first the empty and the smallest."""
    types = draft.params.values()
    if draft.inputs is None:
        yield tuple(value(rng, each, draft.near, 0 if _is_collection(each) else None) for each in types)
        if not any(map(_is_collection, types)):
            yield tuple(value(rng, each, draft.near, 0) for each in types)
    while True:
        yield draft.inputs(rng) if draft.inputs else tuple(value(rng, each, draft.near) for each in types)


def _is_collection(rust_type: str) -> bool:
    return rust_type.startswith(("&", "Vec", "String", "Option"))
