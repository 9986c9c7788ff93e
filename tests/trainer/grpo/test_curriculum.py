"""The curriculum's memory and chances, against their closed forms."""

from __future__ import annotations

import json

import pytest
from grpo_builders import make_group

from trainer.grpo.curriculum import SMALLEST_CHANCE, Curriculum


def after(visits: list[list[float | None]]) -> Curriculum:
    curriculum = Curriculum(4, 0, {})
    for rewards in visits:
        curriculum.observe([make_group(0, rewards, [3] * len(rewards))])
    return curriculum


def test_older_visits_weigh_half_and_faults_nothing():
    curriculum = after([[12.0, 12.0, 0.0, 0.0], [12.0, None, 0.0, 0.0]])
    assert curriculum.history == {"add-0": (0.5 * 4 + 3, 0.5 * 2 + 1)}


def test_chance_is_that_of_a_group_with_both_outcomes():
    assert Curriculum(4, 0, {}).chance("add-0") == 1.0
    rate = (4 + 0.5) / (4 + 1)
    assert after([[12.0] * 4]).chance("add-0") == pytest.approx(1 - rate**4 - (1 - rate) ** 4)
    assert after([[0.0] * 4]).chance("add-0") == pytest.approx(after([[12.0] * 4]).chance("add-0"))
    assert after([[12.0, 0.0, 12.0, 0.0]]).chance("add-0") > 0.87
    assert after([[12.0] * 4] * 3).chance("add-0") < after([[12.0] * 4]).chance("add-0")


def test_no_task_is_lost():
    curriculum = Curriculum(2, 0, {"mastered": (1e9, 1e9), "hopeless": (1e9, 0.0)})
    assert curriculum.chance("mastered") == curriculum.chance("hopeless") == SMALLEST_CHANCE
    accepted = sum(curriculum.accepts(index, "mastered") for index in range(2000))
    assert 150 < accepted < 250


def test_what_a_checkpoint_keeps_is_plain_and_whole():
    curriculum = after([[12.0, None, 0.0, 0.0], [12.0] * 4])
    again = Curriculum(4, 0, json.loads(json.dumps(curriculum.history)))
    assert again.history == curriculum.history
