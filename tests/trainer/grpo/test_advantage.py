"""Advantages against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.grpo.advantage import group_advantages

ALL = np.ones(4, dtype=bool)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", [-12.0, 0.0, 4.0, 8.0]),
        ("mean_std", np.array([-12.0, 0.0, 4.0, 8.0]) / (np.sqrt(56.0) + 1e-4)),
        ("leave_one_out", [0 - 24.0, 12 - 12.0 - 20 / 3 + 20 / 3, 16 - 32 / 3, 20 - 28 / 3]),
    ],
)
def test_closed_form(name, expected):
    rewards = np.array([0.0, 12.0, 16.0, 20.0])
    if name == "leave_one_out":
        expected = [r - (rewards.sum() - r) / 3 for r in rewards]
    np.testing.assert_allclose(group_advantages(rewards, ALL, name), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["mean_std", "mean", "leave_one_out"])
def test_a_fault_of_ours_is_in_no_baseline(name):
    with_fault = group_advantages(np.array([0.0, np.nan, 12.0, 24.0]), np.array([1, 0, 1, 1], dtype=bool), name)
    without = group_advantages(np.array([0.0, 12.0, 24.0]), np.ones(3, dtype=bool), name)
    assert with_fault[1] == 0.0
    np.testing.assert_array_equal(with_fault[[0, 2, 3]], without)


@pytest.mark.parametrize("name", ["mean_std", "mean", "leave_one_out"])
@pytest.mark.parametrize(
    ("rewards", "valid"),
    [([7.5] * 4, [1, 1, 1, 1]), ([1.0, np.nan, np.nan, np.nan], [1, 0, 0, 0]), ([np.nan] * 4, [0, 0, 0, 0])],
)
def test_a_group_without_spread_teaches_nothing(name, rewards, valid):
    assert not group_advantages(np.array(rewards), np.array(valid, dtype=bool), name).any()


@given(st.lists(st.floats(0, 30), min_size=2, max_size=16), st.sampled_from(["mean_std", "mean", "leave_one_out"]))
def test_advantages_are_finite_sum_to_zero_and_keep_the_order(rewards, name):
    advantages = group_advantages(np.array(rewards), np.ones(len(rewards), dtype=bool), name)
    assert np.isfinite(advantages).all()
    assert abs(advantages.sum()) < 1e-6 * max(1.0, np.abs(advantages).max())
    order = np.argsort(rewards)
    assert (np.diff(advantages[order]) >= -1e-9).all()
