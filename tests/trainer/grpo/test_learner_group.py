"""Two learner actors take the same step as one learner in the driver, and one's death is not waited for."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from grpo_builders import make_group
from ray.exceptions import RayError
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from trainer.grpo.algorithm import GRPOConfig
from trainer.grpo.batch import rows_of, to_columns
from trainer.grpo.learner import ITERATION, GRPOLearner
from trainer.grpo.settings import GrpoSettings


@pytest.mark.slow
def test_two_learners_take_the_step_of_one(cluster, policy_dir):
    groups = [make_group(0, [0.0, 12.0, 6.5], [9, 3, 14]), make_group(1, [1.0, 2.0, 25.0, 2.0], [20, 1, 7, 11])]
    weights = []
    for learners in (0, 2):
        settings = GrpoSettings(learners=learners, token_budget=64, max_completion_tokens=64, learning_rate=1e-2)
        config = GRPOConfig().training(grpo=settings, policy_dir=policy_dir)
        group = config.build_learner_group()
        columns = SampleBatch(to_columns(rows_of(groups, settings), settings))
        batch = MultiAgentBatch({DEFAULT_MODULE_ID: columns}, env_steps=len(columns))
        group.update(batch=batch, timesteps={ITERATION: 0})
        held = group.foreach_learner(GRPOLearner.policy_weights).result_or_errors
        weights.append([result.get() for result in held])
        if learners:
            os.kill(group.foreach_learner(lambda _: os.getpid()).result_or_errors[1].get(), signal.SIGKILL)
            with pytest.raises(RayError):  # and the other one does not wait for its gradient for ever
                group.update(batch=batch, timesteps={ITERATION: 1})
        group.shutdown()
    ((alone,), (first, second)) = weights
    for name, weight in alone.items():
        assert torch.equal(first[name], second[name]), f"the learners differ in {name}"
        torch.testing.assert_close(first[name], weight, rtol=1e-4, atol=2e-5)
