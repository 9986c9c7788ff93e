"""An iteration's figures: what counts the groups that were trained on, and what counts all that were sampled."""

from __future__ import annotations

from grpo_builders import make_group

from trainer.grpo.record import training_metrics


def test_given_up_groups_count_in_what_is_said_of_the_policy_and_not_in_what_was_trained():
    trained, given_up = make_group(0, [0.0, 12.0], [3, 3]), make_group(1, [0.0, 0.0], [5, 5])
    metrics = training_metrics([trained], 2, [given_up])
    assert metrics["reward_mean"] == 3.0
    assert metrics["completions"] == 4
    assert metrics["zero_variance_share"] == 0.5
    assert metrics["filtered_groups"] == 1
    assert metrics["tokens"] == 6
    assert metrics["staleness_max"] == 2
    assert training_metrics([trained], 2)["reward_mean"] == 6.0
