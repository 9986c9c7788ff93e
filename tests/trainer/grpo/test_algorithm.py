"""The algorithm with lag, and through RLlib's own checkpoints. What survives whose death: test_chaos.py."""

from __future__ import annotations

import pytest
import torch
from grpo_builders import make_task

from reward_farm.settings import FarmSettings
from rollout.settings import RolloutSettings
from trainer.grpo.algorithm import RESULT, GRPOConfig
from trainer.grpo.learner import GRPOLearner
from trainer.grpo.settings import GrpoSettings
from trainer.grpo.task_order import ShuffledTasks

SETTINGS = GrpoSettings(
    iterations=6,
    prompts_per_step=3,
    group_size=4,
    max_completion_tokens=32,
    max_lag=1,
    rollout_deadline_seconds=120,
)


@pytest.mark.slow
def test_lag_and_restoring(cluster, taught_dir, tmp_path):
    config = (
        GRPOConfig()
        .training(grpo=SETTINGS, policy_dir=taught_dir, tasks=ShuffledTasks([make_task(n) for n in range(10)], seed=1))
        .services(rollout=RolloutSettings(kv_cache_mb=32, max_model_len=128, max_num_seqs=16), farm=FarmSettings())
    )
    algorithm = config.build_algo()
    try:
        figures = [algorithm.train()[RESULT] for _ in range(2)]
        assert [f["policy_version"] for f in figures] == [1, 2]
        assert figures[0]["staleness_max"] == 0
        assert figures[0]["logprob_gap_max"] < 1e-4
        assert figures[1]["staleness_max"] <= 1

        saved = algorithm._on_learner(GRPOLearner.policy_weights)
        algorithm.save_to_path(tmp_path / "state")
        algorithm.train()
        algorithm.restore_from_path(tmp_path / "state")
        restored = algorithm._on_learner(GRPOLearner.policy_weights)
        assert algorithm.version == 2
        assert all(torch.equal(saved[name], restored[name]) for name in saved)
        figures = algorithm.train()[RESULT]
        assert figures["policy_version"] == 3
        assert figures["logprob_gap_max"] < 1e-4, "the engine was given the restored weights"
        assert algorithm.groups[-1].oldest_version >= 1
    finally:
        algorithm.stop()
