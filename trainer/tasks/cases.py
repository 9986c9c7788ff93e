"""The hidden cases of a task: drawn when it is made, and anew for every group that is asked for it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import chain, count, islice
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
SEVERAL = 4
"""Elements from which on one case is as good as another."""
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


def rotated(tasks: Sequence[Task], rotation: int) -> list[Task]:
    """The tasks with the hidden inputs of a rotation: their own at 0, and where they are of no family.

    Raises TaskBankError as `with_fresh_cases` does.
    """
    return [with_fresh_cases(task, f"rotation:{rotation}") if rotation else task for task in tasks]


def more_cases(task: Task, number: int) -> tuple[Case, ...]:
    """`number` cases of any inputs that the task's family draws; none if it has no family here."""
    family = _FAMILIES.get(task.family) if task.draw else None
    if family is None:
        return ()
    draft = family.make(Random(task.draw))
    drawn = islice(_arguments(draft, Random(f"{task.id}:more")), number)
    return tuple(Case(args, draft.oracle(*deepcopy(args))) for args in chain(draft.edges, drawn))


def _fits(draft: Draft, task: Task) -> bool:
    problem = task.problem
    alike = (draft.entry, draft.asked_params, draft.asked(draft.returns)) == (
        problem.entry, problem.params, problem.returns
    )  # fmt: skip
    return alike and all(repr(draft.oracle(*deepcopy(case.args))) == repr(case.expected) for case in problem.cases)


def _choose(draft: Draft, rng: Random) -> Iterator[Case]:
    """Edges first, then always an input whose expected value is rarest so far: each outcome is asked for alike.

    Of those, one with several elements: it tells more wrong answers from the right one.
    """
    seen: dict[str, Case] = {}
    for args in chain(draft.edges, islice(_arguments(draft, rng), INPUT_CANDIDATES)):
        seen.setdefault(repr(args), Case(args, draft.oracle(*deepcopy(args))))
    cases = list(seen.values())
    first = max(1, min(len(draft.edges), HIDDEN_CASES - 2))
    asked = Counter(repr(case.expected) for case in cases[:first])
    yield from cases[:first]
    rest = [(repr(case.expected), case) for case in sorted(cases[first:], key=_size, reverse=True)]
    for _ in range(min(HIDDEN_CASES - first, len(rest))):
        expected, case = rest.pop(min(range(len(rest)), key=lambda place: asked[rest[place][0]]))
        asked[expected] += 1
        yield case


def _size(case: Case) -> int:
    """Elements and characters of its arguments, up to `SEVERAL`; numbers have none."""
    return min(SEVERAL, sum(len(arg) for arg in case.args if isinstance(arg, (list, str))))


def _arguments(draft: Draft, rng: Random) -> Iterator[Arguments]:
    """Endless arguments; without `draft.inputs`, first the empty and the smallest, then every other at the bounds."""
    types = draft.asked_params
    if draft.inputs is None:
        yield tuple(value(rng, each, draft.near, 0 if _is_collection(each) else None) for each in types)
        if not any(map(_is_collection, types)):
            yield tuple(value(rng, each, draft.near, 0) for each in types)
    for number in count():
        bounds = number % 2 == 0
        yield (
            draft.inputs(rng) if draft.inputs else tuple(value(rng, each, draft.near, bounds=bounds) for each in types)
        )


def _is_collection(rust_type: str) -> bool:
    return rust_type.startswith(("&", "Vec", "String", "Option"))
