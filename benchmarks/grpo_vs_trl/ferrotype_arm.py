"""Ferrotype's arm: `python -m benchmarks.grpo_vs_trl.ferrotype_arm JOB.json STEPS.jsonl`. The phase as a run has it.

Engines, farm and learner are those of training. Nothing is evaluated or traced, and the one checkpoint, after the last
step, is in no step's time: the other arm does none of it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.grpo_vs_trl.job import Job, Journal, read_job
from reward_farm.settings import FarmSettings
from rollout.settings import RolloutSettings
from services.cluster import ray_cluster
from services.config import ClusterSettings
from services.environment import prepare
from trainer.grpo.settings import GrpoSettings

PARTS = {"wait": "seconds_rollout_wait", "update": "seconds_update", "push": "seconds_push"}
PROMPT_ROOM = 160
"""Tokens for the prompt in the engine's window, as in the embedded preset: 256 with completions of 96."""
NEVER = 1e9
MOST_KV_MB = 2048
"""Of the engine's cache. What doesn't fit into it waits."""


def train(job: Job, out: Path) -> None:
    """The run, from the job's model on."""
    from trainer.grpo.run import train as phase

    settings = GrpoSettings(
        iterations=job.steps, prompts_per_step=job.prompts, group_size=job.group, max_lag=job.max_lag,
        max_completion_tokens=job.completion_tokens, temperature=1.0, loss="dapo", advantage="mean_std",
        clip_low=job.clip_low, clip_high=job.clip_high, learning_rate=job.learning_rate, warmup_iterations=0,
        learning_rate_end=1.0, learner_threads=job.threads, checkpoint_interval=job.steps + 1, resume_seconds=NEVER,
        evaluation_interval=job.steps + 1, seed=job.seed,
    )  # fmt: skip
    journal = Journal(out, job.seconds)
    with tempfile.TemporaryDirectory() as scratch:
        for record in phase(
            settings,
            rollout=rollout_settings(job),
            farm=FarmSettings(workers=job.judges),
            start=Path(job.model),
            directory=Path(scratch),
            tasks=job.source(),
            stop=lambda: journal.over,
        ):
            figures = record.metrics
            if record.iteration:
                parts = {name: figures[key] for name, key in PARTS.items()}
                spared = figures.get("seconds_checkpoint", 0.0)
                journal.step(record.iteration, figures["reward_mean"], int(figures["tokens"]), parts, spared)
            else:
                journal.begin()
    journal.close()


def rollout_settings(job: Job) -> RolloutSettings:
    """The engine's, with room for every completion that may be asked for at once."""
    completions = (1 + job.max_lag) * job.batch
    return engine_settings(Path(job.model), job.completion_tokens + PROMPT_ROOM, completions)


def engine_settings(model: Path, length: int, completions: int) -> RolloutSettings:
    """An engine that holds so many completions of so many tokens, prompts included."""
    shape = json.loads((model / "config.json").read_text())
    heads, size = shape["num_attention_heads"], shape["hidden_size"]
    # Keys and values, in fp32.
    token_bytes = 8 * shape["num_hidden_layers"] * shape.get("num_key_value_heads", heads)
    token_bytes *= shape.get("head_dim") or size // heads
    megabytes = min(MOST_KV_MB, 1 + (token_bytes * length * completions >> 20))
    return RolloutSettings(max_model_len=length, max_num_seqs=completions, kv_cache_mb=max(64, megabytes))


def main() -> None:
    prepare()
    with ray_cluster(ClusterSettings()):
        train(read_job(Path(sys.argv[1])), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
