"""Hidden cases bite: answers known to be wrong fail, and what passes everything is told from what escapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from reward_farm.judge import Judge
from reward_farm.settings import FarmSettings
from services.tasks_verify import examine
from trainer.tasks.bank import build_bank
from trainer.tasks.families import FAMILIES
from trainer.tasks.mutants import Fate, Mutant, fates, kill_rate, mutants
from trainer.tasks.task import Split, Task


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(FarmSettings(max_batch=32)) as judge:
        yield judge


@pytest.fixture(scope="module")
def task() -> Task:
    """`count_above_K`: a comparison, a number and a method."""
    family = next(each for each in FAMILIES if each.name == "count_where")
    bank = build_bank(0, 60, 1, 1, families=[family])
    return next(task for task in bank.all if "> " in task.reference and ".filter(" in task.reference)


def test_mutants_differ_from_the_reference_by_one_change(task: Task) -> None:
    made = mutants(task, 20, Random(0))
    assert len(made) == len({each.source for each in made}) >= 3
    assert all(each.source.startswith(task.prompt) and each.source != task.solved for each in made)
    assert any("> ->" in each.change for each in made)
    assert mutants(task, 20, Random(0)) == made, "one seed, one set"


def test_each_fate_is_told_from_the_others(judge: Judge, task: Task) -> None:
    wrong = next(each for each in mutants(task, 20, Random(0)) if each.change.startswith("> ->"))
    same = Mutant(task, task.solved.replace("}\n", "} // the same\n"), "nothing")
    broken = Mutant(task, task.prompt + "\n    oops\n}\n", "everything")
    # With the first case alone, which is the empty input, a wrong answer escapes.
    weak = replace(task, problem=replace(task.problem, cases=task.problem.cases[:1]))
    escaped = Mutant(weak, wrong.source, wrong.change)
    undrawn = Mutant(replace(weak, draw=""), wrong.source, wrong.change)
    found = fates([wrong, same, broken, escaped, undrawn], judge.judge)
    assert found == [Fate.KILLED, Fate.EQUIVALENT, Fate.STILLBORN, Fate.ESCAPED, Fate.UNKNOWN]
    assert kill_rate(found) == 0.5
    assert kill_rate([Fate.STILLBORN]) == 1.0


@pytest.mark.parametrize(
    ("per_family", "least"),
    [(1, 0.9), pytest.param(12, 0.95, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)])],
)
def test_references_pass_and_mutants_are_killed(per_family: int, least: float) -> None:
    bank = build_bank(0, per_family, 1, 2 * per_family)
    tasks = [task for task in bank.all if task.split is not Split.UNSEEN_TASKS]
    failures, made, found = examine(tasks, mutants_each=2)
    assert failures == []
    assert len(made) > 1.5 * len(tasks)
    assert kill_rate(found) >= least
    assert Fate.UNKNOWN not in found
