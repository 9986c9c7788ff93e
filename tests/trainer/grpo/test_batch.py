"""Rows, token weights and micro-batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from grpo_builders import make_group
from hypothesis import given
from hypothesis import strategies as st

from rollout.types import VersionSpan
from trainer.grpo.batch import (
    ADVANTAGE,
    COUNT,
    LENGTH,
    SAMPLER_LOGPROBS,
    TARGETS_START,
    TOKEN_WEIGHT,
    TOKENS,
    rows_of,
    to_columns,
    token_weights,
)
from trainer.grpo.settings import GrpoSettings


def test_only_rows_that_can_move_the_policy_are_kept():
    groups = [
        make_group(0, [0.0, 12.0, None, 6.0], [4, 5, 6, 7]),
        make_group(1, [9.0] * 4, [3] * 4),
    ]
    rows = rows_of(groups, GrpoSettings(advantage="mean"))
    assert [(row.length, row.advantage) for row in rows] == [(9, -6.0), (10, 6.0)], "6.0 is the mean of 0, 12 and 6"
    with_kl = rows_of(groups, GrpoSettings(advantage="mean", kl_coefficient=0.1))
    assert len(with_kl) == 7, "KL pulls on every completion that has a reward"


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("dapo", [1 / 8, 1 / 8]),
        ("cispo", [1 / 8, 1 / 8]),
        ("grpo", [1 / 4, 1 / 12]),
        ("dr_grpo", [1 / 20, 1 / 20]),
    ],
)
def test_token_weights(loss, expected):
    settings = GrpoSettings(loss=loss, max_completion_tokens=10)
    np.testing.assert_allclose(token_weights(np.array([2, 6]), np.array([1, 1]), settings), expected)
    lengths = np.array([2, 6, 5])
    repeated = token_weights(np.repeat(lengths, [3, 1, 2]), np.ones(6, np.int64), settings)
    np.testing.assert_allclose(
        token_weights(lengths, np.array([3, 1, 2]), settings),
        [repeated[:3].sum(), repeated[3], repeated[4:].sum()],
        err_msg="a row that counts three times weighs as three rows",
    )


def test_siblings_that_say_the_same_are_one_row():
    group = make_group(0, [0.0, 12.0, 0.0, 12.0], [4, 5, 6, 7])
    first, second, third, fourth = group.samples
    twin = replace(third, completion=replace(first.completion, id="0-2"))
    rows = rows_of([replace(group, samples=(first, second, twin, fourth))], GrpoSettings(advantage="mean"))
    assert [(row.token_ids, row.count) for row in rows] == [
        (first.completion.token_ids, 2),
        (second.completion.token_ids, 1),
        (fourth.completion.token_ids, 1),
    ]
    newer = replace(twin, completion=replace(twin.completion, versions=(VersionSpan(1, 0, 4),)))
    rows = rows_of([replace(group, samples=(first, second, newer, fourth))], GrpoSettings(advantage="mean"))
    assert [row.count for row in rows] == [1] * 4, "another policy gave it another probability"


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    learners=st.integers(0, 4),
    loss=st.sampled_from(["dapo", "grpo"]),
)
def test_every_learner_gets_as_many_rows_and_the_weights_stay_exact(lengths, learners, loss):
    settings = GrpoSettings(learners=learners, loss=loss)
    rewards = list(range(len(lengths)))
    rows = rows_of([make_group(0, rewards, lengths)], settings)
    if not rows:
        return
    columns = to_columns(rows, settings)
    shards = max(1, learners)
    assert len(columns[LENGTH]) % shards == 0
    assert (columns[COUNT] > 0).sum() == len(rows)
    completion = columns[LENGTH] - columns[TARGETS_START]
    total = (columns[TOKEN_WEIGHT] * completion).sum() / shards
    assert total == pytest.approx(1.0, abs=1e-5)
    tokens = (columns[LENGTH] * (columns[COUNT] > 0)).reshape(shards, -1).sum(1)
    assert tokens.max() - tokens.min() <= 2 * columns[LENGTH].max(), "learners get about the same work"


def test_columns_line_up():
    (row, _) = rows = rows_of([make_group(3, [0.0, 10.0], [4, 2])], GrpoSettings(advantage="mean"))
    columns = to_columns(rows, GrpoSettings())
    assert columns[TOKENS].shape == (2, 9)
    assert tuple(columns[TOKENS][0]) == row.prompt_ids + row.token_ids
    np.testing.assert_allclose(columns[SAMPLER_LOGPROBS][0, 5:9], row.logprobs, rtol=1e-6)
    assert columns[SAMPLER_LOGPROBS][:, :5].any() == False  # noqa: E712
    assert columns[TARGETS_START].tolist() == [5, 5]
    assert columns[LENGTH].tolist() == [9, 7]
    assert columns[ADVANTAGE].tolist() == [-5.0, 5.0]
