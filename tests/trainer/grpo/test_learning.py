"""It learns: with real rollouts, real verdicts and real pushes, reward rises beyond what sampling noise explains."""

from __future__ import annotations

import numpy as np
import pytest
from grpo_builders import make_task

from reward_farm.settings import FarmSettings
from rollout.settings import RolloutSettings
from trainer.grpo.run import train
from trainer.grpo.settings import GrpoSettings
from trainer.grpo.task_order import ShuffledTasks

SETTINGS = GrpoSettings(
    iterations=32,
    prompts_per_step=8,
    group_size=8,
    max_completion_tokens=32,
    max_lag=0,  # exact, so that the same commit learns the same
    learning_rate=2e-3,
    evaluation_interval=32,
    checkpoint_interval=32,
    resume_seconds=600,
    rollout_deadline_seconds=90,
)
WINDOW = 8
"""Iterations whose means are compared: 512 completions each."""


@pytest.mark.slow
def test_reward_and_compile_rate_rise(cluster, half_taught_dir, tmp_path):
    records = list(
        train(
            SETTINGS,
            rollout=RolloutSettings(kv_cache_mb=32, max_model_len=128, max_num_seqs=64),
            farm=FarmSettings(),
            start=half_taught_dir,
            directory=tmp_path / "rl",
            tasks=ShuffledTasks([make_task(n) for n in range(10)], seed=1),
        )
    )
    figures = {
        name: np.array([record.metrics[name] for record in records[1:]])
        for name in ("reward_mean", "compile_rate", "logprob_gap_max")
    }
    assert figures["logprob_gap_max"].max() < 1e-4, "sampler and learner agree after every push"
    for name in ("reward_mean", "compile_rate"):
        first, last = figures[name][:WINDOW], figures[name][-WINDOW:]
        spread = np.sqrt(first.var(ddof=1) / WINDOW + last.var(ddof=1) / WINDOW)
        assert last.mean() - first.mean() > 4 * spread, f"{name} went from {first.mean():.3f} to {last.mean():.3f}"
