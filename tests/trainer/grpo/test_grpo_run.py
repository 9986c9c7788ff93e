"""The whole phase with real parts: vLLM samples, rustc in its sandbox judges, RLlib learns, weights are pushed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
from grpo_builders import make_task
from safetensors.torch import load_file

from reward_farm.settings import FarmSettings
from rollout.settings import RolloutSettings
from trainer.checkpoint import load_checkpoint, read_manifest, save_checkpoint
from trainer.grpo.errors import ResumeMismatch
from trainer.grpo.record import IterationRecord
from trainer.grpo.run import train
from trainer.grpo.settings import GrpoSettings
from trainer.grpo.task_order import ShuffledTasks

SETTINGS = GrpoSettings(
    iterations=3,
    prompts_per_step=3,
    group_size=4,
    max_completion_tokens=32,
    max_lag=0,
    checkpoint_interval=1,
    evaluation_interval=2,
    rollout_deadline_seconds=90,
)
TASKS = [make_task(n) for n in range(10)]


def start_run(settings: GrpoSettings, start: Path, directory: Path) -> Iterator[IterationRecord]:
    return train(
        settings,
        rollout=RolloutSettings(kv_cache_mb=32, max_model_len=128, max_num_seqs=16),
        farm=FarmSettings(),
        start=start,
        directory=directory,
        tasks=ShuffledTasks(TASKS, seed=1),
        evaluation={"unseen_tasks": [make_task(n) for n in (11, 12)]},
        trace=directory.parent / "traces" / "rl.jsonl",
    )


@pytest.mark.slow
def test_synchronous_steps_are_on_policy_and_a_resumed_run_repeats_them_to_the_bit(cluster, taught_dir, tmp_path):
    straight = tmp_path / "straight" / "rl"
    records = list(islice(run := start_run(SETTINGS, taught_dir, straight), 3))
    run.close()
    assert [record.iteration for record in records] == [0, 1, 2]
    assert "unseen_tasks/compile_rate" in records[0].metrics
    for record in records[1:]:
        figures = record.metrics
        assert figures["policy_version"] == record.iteration
        assert figures["logprob_gap_max"] < 1e-4, "sampler and learner agree"
        assert figures["staleness_max"] == 0
        assert figures["completions"] == 12
        assert figures["infra_faults"] == 0
        assert 0 < figures["compile_rate"] < 1, "the task of this test: some right, some wrong"
        assert figures["grad_norm"] > 0
    traced = [json.loads(line) for line in (straight.parent / "traces" / "rl.jsonl").read_text().splitlines()]
    assert {entry["iteration"] for entry in traced} == {1, 2}
    assert all(entry["reward"] == pytest.approx(sum(entry["breakdown"].values())) for entry in traced)

    resumed = tmp_path / "resumed" / "rl"
    shutil.copytree(straight / "rl-iter-1", resumed / "rl-iter-1")
    (record,) = islice(run := start_run(SETTINGS.model_copy(update={"checkpoint_interval": 5}), taught_dir, resumed), 1)
    run.close()
    assert [path.name for path in resumed.iterdir()] == ["rl-iter-2"], (
        "the one that it went on from is no longer needed"
    )
    assert (resumed / "rl-iter-2" / "tokenizer.json").exists()
    assert record.iteration == 2
    for name in ("reward_mean", "completion_length", "loss", "grad_norm", "tokens", "unseen_tasks/reward_mean"):
        assert record.metrics[name] == records[2].metrics[name], name
    ours, theirs = (load_file(d / "rl-iter-2" / "model.safetensors") for d in (straight, resumed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert read_manifest(resumed / "rl-iter-2").progress == read_manifest(straight / "rl-iter-2").progress


def test_a_finished_run_is_left_alone_and_another_run_s_checkpoint_is_refused(taught_dir, tmp_path):
    identity = {"temperature": 1.0, "tasks": ShuffledTasks(TASKS, seed=1).fingerprint}
    progress = {"policy_version": 3, "identity": identity}
    model = load_checkpoint(taught_dir).model
    save_checkpoint(tmp_path / "rl-iter-3", model, taught_dir, kind="grpo", step=3, progress=progress)
    assert list(start_run(SETTINGS, taught_dir, tmp_path)) == []
    with pytest.raises(ResumeMismatch, match=r"rl-iter-3 belongs .* grpo.temperature was 1.0 and is 0.5"):
        next(start_run(SETTINGS.model_copy(update={"temperature": 0.5}), taught_dir, tmp_path))
