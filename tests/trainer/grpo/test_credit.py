"""Who of a group is learned from: overlong completions kept, filtered and punished."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from grpo_builders import make_group

from trainer.grpo.credit import credit, overlong_punishment, teaches
from trainer.grpo.group import Group
from trainer.grpo.settings import GrpoSettings


def cut_off(group: Group, *places: int) -> Group:
    samples = tuple(
        replace(sample, completion=replace(sample.completion, finish_reason="length")) if place in places else sample
        for place, sample in enumerate(group.samples)
    )
    return replace(group, samples=samples)


def test_the_punishment_grows_linearly_to_the_limit():
    settings = GrpoSettings(overlong="punish", overlong_tokens=20, overlong_penalty=10.0, max_completion_tokens=100)
    points = overlong_punishment(np.array([1, 80, 85, 90, 100]), settings)
    assert points.tolist() == [0.0, 0.0, 2.5, 5.0, 10.0]


def test_filtered_completions_stay_in_the_baseline_and_are_not_learned_from():
    group = cut_off(make_group(0, [0.0, 12.0, 24.0], [4, 4, 4]), 0)
    advantages, trained = credit(group, GrpoSettings(overlong="filter", advantage="mean"))
    assert advantages.tolist() == [-12.0, 0.0, 12.0]
    assert trained.tolist() == [False, False, True]
    kept = credit(group, GrpoSettings(advantage="mean"))[1]
    assert kept.tolist() == [True, False, True]


def test_punished_completions_of_equal_reward_differ():
    group = make_group(0, [12.0, 12.0], [4, 64])
    settings = {"max_completion_tokens": 64, "advantage": "mean"}
    assert not teaches(group, GrpoSettings(**settings))
    punished = GrpoSettings(overlong="punish", overlong_penalty=6.0, **settings)
    assert credit(group, punished)[0].tolist() == pytest.approx([3.0, -3.0])
    assert teaches(group, punished)


def test_with_a_divergence_every_judged_completion_carries_a_gradient():
    group = make_group(0, [12.0, 12.0, None], [4, 4, 4])
    settings = GrpoSettings(kl_coefficient=0.1)
    assert credit(group, settings)[1].tolist() == [True, True, False]
    assert not teaches(group, settings), "no completion was better than another"
