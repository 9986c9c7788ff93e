"""The whole phase with real parts: vLLM samples, rustc in its sandbox judges, RLlib learns, weights are pushed."""

from __future__ import annotations

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
from trainer.checkpoint import fingerprint, load_checkpoint, read_manifest, save_checkpoint
from trainer.grpo.errors import ResumeMismatch
from trainer.grpo.record import IterationRecord
from trainer.grpo.run import train
from trainer.grpo.settings import GrpoSettings
from trainer.grpo.task_order import ShuffledTasks
from trainer.grpo.trace import iteration_of, read_trace, trace_files

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
        trace=directory.parent / "traces",
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
    files = trace_files(straight.parent / "traces")
    assert [iteration_of(file) for file in files] == [1, 2]
    traced = list(read_trace(files))
    assert len(traced) == 24, "every completion"
    assert all(entry.scored and entry.source.startswith(entry.prompt) and entry.function for entry in traced)

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


@pytest.mark.nightly
def test_a_refilled_run_with_a_curriculum_is_resumed_to_the_bit(cluster, taught_dir, tmp_path):
    settings = SETTINGS.model_copy(update={"refill_groups": 2, "curriculum": True, "overlong": "filter"})
    straight = tmp_path / "straight" / "rl"
    records = list(start_run(settings, taught_dir, straight))
    assert sum(record.metrics.get("filtered_groups", 0) for record in records) > 0
    resumed = tmp_path / "resumed" / "rl"
    shutil.copytree(straight / "rl-iter-1", resumed / "rl-iter-1")
    again = list(start_run(settings, taught_dir, resumed))
    for one, other in zip(again, records[2:], strict=True):
        for name in ("reward_mean", "loss", "grad_norm", "tokens", "completions", "filtered_groups"):
            assert one.metrics.get(name) == other.metrics.get(name), name
    ours, theirs = (load_file(d / "rl-iter-3" / "model.safetensors") for d in (straight, resumed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    histories = [read_manifest(d / "rl-iter-3").progress["task_history"] for d in (straight, resumed)]
    assert histories[0] == histories[1]
    assert histories[0]


@pytest.mark.nightly
def test_an_adapter_is_trained_pushed_and_resumed_to_the_bit(cluster, taught_dir, tmp_path):
    settings = SETTINGS.model_copy(update={"lora_rank": 8, "kl_coefficient": 0.01, "learning_rate": 3e-3})
    straight = tmp_path / "straight" / "rl"
    records = list(start_run(settings, taught_dir, straight))
    assert max(record.metrics["logprob_gap_max"] for record in records[1:]) < 1e-4, "what is merged is what is sampled"
    assert records[1].metrics["kl"] == pytest.approx(0, abs=1e-6)
    assert records[3].metrics["kl"] > 0
    resumed = tmp_path / "resumed" / "rl"
    shutil.copytree(straight / "rl-iter-1", resumed / "rl-iter-1")
    again = list(start_run(settings, taught_dir, resumed))
    for one, other in zip(again, records[2:], strict=True):
        for name in ("reward_mean", "loss", "grad_norm", "kl", "tokens"):
            assert one.metrics[name] == other.metrics[name], name
    for file in ("model.safetensors", "adapter/adapter_model.safetensors"):
        ours, theirs = (load_file(d / "rl-iter-3" / file) for d in (straight, resumed))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_finished_run_is_left_alone_and_another_run_s_checkpoint_is_refused(taught_dir, policy_dir, tmp_path):
    identity = {"temperature": 1.0, "tasks": ShuffledTasks(TASKS, seed=1).fingerprint, "start": fingerprint(taught_dir)}
    progress = {"policy_version": 3, "identity": identity}
    model = load_checkpoint(taught_dir).model
    save_checkpoint(tmp_path / "rl-iter-3", model, taught_dir, kind="grpo", step=3, progress=progress)
    assert list(start_run(SETTINGS, taught_dir, tmp_path)) == []
    with pytest.raises(ResumeMismatch, match=r"rl-iter-3 belongs .* grpo.temperature was 1.0 and is 0.5"):
        next(start_run(SETTINGS.model_copy(update={"temperature": 0.5}), taught_dir, tmp_path))
    with pytest.raises(ResumeMismatch, match=r"the checkpoint that RL started from was '[0-9a-f]{16}' and is '"):
        next(start_run(SETTINGS, policy_dir, tmp_path))
