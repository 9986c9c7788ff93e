"""The sampler: even over families, every task before a repeat, exact after a resume."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest

from trainer.tasks.bank import build_bank
from trainer.tasks.errors import SamplerStateError
from trainer.tasks.sampler import TaskSampler
from trainer.tasks.task import Split, Task


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return list(build_bank(0, 5, 2, 2).tasks(Split.TRAIN))


def test_a_resumed_sampler_goes_on_as_if_never_stopped(tasks: list[Task]) -> None:
    whole = [task.id for task in islice(TaskSampler(tasks, 7), 300)]
    first = TaskSampler(tasks, 7)
    begun = [next(first).id for _ in range(111)]
    state = json.loads(json.dumps(first.state()))
    second = TaskSampler(tasks[::-1], 0)
    second.restore(state)
    assert begun + [task.id for task in islice(second, 189)] == whole
    assert [task.id for task in islice(TaskSampler(tasks, 8), 300)] != whole


def test_families_take_turns_and_tasks_repeat_only_after_all(tasks: list[Task]) -> None:
    families = {task.family for task in tasks}
    draws = list(islice(TaskSampler(tasks, 1), 5 * len(families)))
    assert set(Counter(task.family for task in draws[: len(families)]).values()) == {1}
    assert {task.id for task in draws} == {task.id for task in tasks}


def test_a_position_among_other_tasks_is_refused(tasks: list[Task]) -> None:
    with pytest.raises(SamplerStateError, match="different task bank"):
        TaskSampler(tasks[1:]).restore(TaskSampler(tasks).state())


def test_a_sampler_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one task"):
        TaskSampler([])
