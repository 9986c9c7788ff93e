"""Advantages against their closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.grpo.advantage import group_advantages

NAMES = ["mean_std", "mean", "leave_one_out", "max_rl"]
ALL = np.ones(4, dtype=bool)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", [-12.0, 0.0, 4.0, 8.0]),
        ("max_rl", [-1.0, 0.0, 1 / 3, 2 / 3]),
        ("mean_std", np.array([-12.0, 0.0, 4.0, 8.0]) / (np.sqrt(56.0) + 1e-4)),
        ("leave_one_out", [0 - 24.0, 12 - 12.0 - 20 / 3 + 20 / 3, 16 - 32 / 3, 20 - 28 / 3]),
    ],
)
def test_closed_form(name, expected):
    rewards = np.array([0.0, 12.0, 16.0, 20.0])
    if name == "leave_one_out":
        expected = [r - (rewards.sum() - r) / 3 for r in rewards]
    np.testing.assert_allclose(group_advantages(rewards, ALL, name), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_of_ours_is_in_no_baseline(name):
    with_fault = group_advantages(np.array([0.0, np.nan, 12.0, 24.0]), np.array([1, 0, 1, 1], dtype=bool), name)
    without = group_advantages(np.array([0.0, 12.0, 24.0]), np.ones(3, dtype=bool), name)
    assert with_fault[1] == 0.0
    np.testing.assert_array_equal(with_fault[[0, 2, 3]], without)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("rewards", "valid"),
    [([7.5] * 4, [1, 1, 1, 1]), ([1.0, np.nan, np.nan, np.nan], [1, 0, 0, 0]), ([np.nan] * 4, [0, 0, 0, 0])],
)
def test_a_group_without_spread_teaches_nothing(name, rewards, valid):
    assert not group_advantages(np.array(rewards), np.array(valid, dtype=bool), name).any()


@given(st.lists(st.floats(0, 30), min_size=2, max_size=16), st.sampled_from(NAMES))
def test_advantages_are_finite_sum_to_zero_and_keep_the_order(rewards, name):
    advantages = group_advantages(np.array(rewards), np.ones(len(rewards), dtype=bool), name)
    assert np.isfinite(advantages).all()
    assert abs(advantages.sum()) < 1e-6 * max(1.0, np.abs(advantages).max())
    order = np.argsort(rewards)
    assert (np.diff(advantages[order]) >= -1e-9).all()


def test_max_rl_is_the_gradient_of_the_truncated_log_likelihood():
    """Over all 2**G outcomes of a coin that succeeds with p = sigmoid(theta), d log p(outcome) / d theta is r - p."""
    p, size = 0.3, 5
    gradient = 0.0
    for outcome in itertools.product((0.0, 1.0), repeat=size):
        rewards = np.array(outcome)
        probability = np.prod(np.where(rewards == 1, p, 1 - p))
        advantages = group_advantages(rewards, np.ones(size, dtype=bool), "max_rl")
        gradient += probability * np.mean(advantages * (rewards - p))
    slope = p * (1 - p)
    assert gradient == pytest.approx(slope * sum((1 - p) ** (k - 1) for k in range(1, size)))
