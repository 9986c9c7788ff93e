"""Hidden cases drawn anew: right, repeatable, others for every group, and refused where the family has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reward_farm.judge import Judge
from reward_farm.problem import Case, Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Scored
from trainer.grpo.task_order import ShuffledTasks
from trainer.tasks.bank import TaskBank, build_bank
from trainer.tasks.cases import with_fresh_cases
from trainer.tasks.errors import TaskBankError
from trainer.tasks.task import Split, Task


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> TaskBank:
    """As a later session reads it."""
    path: Path = tmp_path_factory.mktemp("bank") / "tasks.jsonl"
    build_bank(5, 4, 2, 4).save(path)
    return TaskBank.load(path)


def test_fresh_cases_are_others_and_the_known_answers_are_right_on_them(bank: TaskBank) -> None:
    fresh = [with_fresh_cases(task, "group 7") for task in bank.all]
    assert fresh == [with_fresh_cases(task, "group 7") for task in bank.all]
    changed = sum(one.problem != other.problem for one, other in zip(bank.all, fresh, strict=True))
    assert changed > 0.9 * len(fresh), "a few have no more inputs than those"
    assert [replace(each, problem=task.problem) for each, task in zip(fresh, bank.all, strict=True)] == list(bank.all)
    with Judge(FarmSettings()) as judge:
        verdicts = judge.judge([Submission(task.id, task.prompt + task.reference, task.problem) for task in fresh])
    assert {verdict.id for verdict in verdicts if not (isinstance(verdict, Scored) and verdict.passed)} == set()


def test_a_group_has_its_cases_and_the_next_one_of_the_task_others(bank: TaskBank) -> None:
    tasks = bank.tasks(Split.TRAIN)
    source = ShuffledTasks(tasks, seed=1)
    rounds = [[source.task(index + turn * len(tasks)) for index in range(len(tasks))] for turn in (0, 1)]
    first, second = ({task.id: task.problem for task in drawn} for drawn in rounds)
    assert first.keys() == second.keys() == {task.id for task in tasks}
    assert sum(first[id] != second[id] for id in first) > 0.9 * len(first)
    assert source.task(3) == ShuffledTasks(tasks, seed=1).task(3)
    assert source.task(3) != ShuffledTasks(tasks, seed=2).task(3)


def test_a_task_of_nobody_keeps_its_cases(bank: TaskBank) -> None:
    own = replace(bank.all[0], family="mine", draw="")
    assert with_fresh_cases(own, "any") is own


@pytest.mark.parametrize(
    "change",
    [
        lambda task: replace(task, family="no such family"),
        lambda task: replace(task, draw=task.draw + "0"),
        lambda task: replace(task, problem=replace(task.problem, cases=(Case(task.problem.cases[0].args, "?"),))),
    ],
)
def test_cases_of_another_function_are_refused(bank: TaskBank, change: Callable[[Task], Task]) -> None:
    with pytest.raises(TaskBankError, match="Build the task bank again"):
        with_fresh_cases(change(bank.all[0]), "any")
