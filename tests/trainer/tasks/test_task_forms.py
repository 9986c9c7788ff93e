"""Holes, broken code and requests made of tasks: known answers still pass, what is shown as wrong does not."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from reward_farm.judge import Judge
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from trainer.tasks.bank import TaskBank, build_bank
from trainer.tasks.cases import rotated
from trainer.tasks.forms import filled, in_forms, repairs
from trainer.tasks.record import dump_task, load_task
from trainer.tasks.task import Form, Split, Task


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(FarmSettings(max_batch=32)) as judge:
        yield judge


@pytest.fixture(scope="module")
def bank() -> TaskBank:
    return build_bank(0, 1, 1, 2)


@pytest.fixture(scope="module")
def others(bank: TaskBank, judge: Judge) -> list[Task]:
    some = [task for task in bank.all if task.split is not Split.UNSEEN_TASKS][:60]
    return in_forms(some, [Form.INSTRUCT, Form.FIM, Form.REPAIR], judge.judge, seed=0)


def test_every_form_is_made_and_its_known_answer_passes(others: list[Task], judge: Judge) -> None:
    forms = [task.form for task in others]
    assert forms.count(Form.INSTRUCT) == 60
    assert forms.count(Form.FIM) > 50 and forms.count(Form.REPAIR) > 50
    assert len({task.id for task in others}) == len(others)
    assert all(load_task(dump_task(task)) == task for task in others)
    verdicts = judge.judge([Submission(task.id, task.solved, task.problem) for task in others])
    assert [
        task.id for task, verdict in zip(others, verdicts, strict=True) if not getattr(verdict, "passed", False)
    ] == []


def test_a_hole_is_between_its_prompt_and_its_suffix(bank: TaskBank) -> None:
    task = bank.all[0]
    hole = filled(task, Random(0))
    assert hole is not None and hole.suffix and len(hole.reference) >= 6
    assert hole.source(hole.reference) == task.solved
    assert filled(task, Random(0)) == hole and any(filled(task, Random(n)) != hole for n in range(9))


def test_broken_code_is_shown_with_what_rustc_says_and_fails(bank: TaskBank, judge: Judge) -> None:
    mended = repairs(bank.all[:30], judge.judge, seed=0)
    assert repairs(bank.all[:30], judge.judge, seed=0) == mended
    assert any("error[E0" in task.prompt for task in mended)
    for task in mended:
        wrong = task.instruction.split("```rust\n")[1].split("\n```")[0]
        (verdict,) = judge.judge([Submission(f"again {task.id}", wrong, task.problem)])
        assert not getattr(verdict, "passed", True)
        assert all(line.startswith("//") for line in task.prompt.splitlines()[:-1])
        assert task.prompt.endswith("{") and task.problem.entry in task.prompt.splitlines()[-1]


def test_a_rotation_draws_other_hidden_inputs_to_the_same_tasks(bank: TaskBank, judge: Judge) -> None:
    some = list(bank.all[:60])
    assert rotated(some, 0) == some
    first, second = rotated(some, 1), rotated(some, 2)
    assert rotated(some, 1) == first
    assert [task.id for task in first] == [task.id for task in some]
    others = sum(a.problem.cases != b.problem.cases for a, b in zip(first, second, strict=True))
    assert others > 50, "few tasks have no other inputs"
    verdicts = judge.judge([Submission(f"rotated {task.id}", task.solved, task.problem) for task in first])
    assert all(getattr(verdict, "passed", False) for verdict in verdicts)
