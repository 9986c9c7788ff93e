"""The reinforcement-learning phase from start to end: iterate, evaluate, checkpoint, resume.

Every iteration leaves a whole checkpoint `rl-iter-N` (Hugging Face folder, optimizer, data cursor); those that
`checkpoint_interval` doesn't divide are removed when the next one is on disk. A killed run is called again with the
same arguments and goes on from the newest one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reward_farm.settings import FarmSettings
from rollout.settings import RolloutSettings
from trainer.checkpoint import load_checkpoint, newest_checkpoint, prune, read_manifest
from trainer.grpo.algorithm import GRPO, RESULT, GRPOConfig
from trainer.grpo.collector import Cursor
from trainer.grpo.errors import ResumeMismatch
from trainer.grpo.record import IterationRecord
from trainer.grpo.settings import GrpoSettings
from trainer.grpo.task_order import TaskSource
from trainer.grpo.trace import Trace
from trainer.tasks.task import Task

PREFIX = "rl-iter-"

FREE_TO_CHANGE = frozenset(
    (
        "iterations", "token_budget", "learners", "gpus_per_learner", "learner_threads", "checkpoint_interval",
        "resume_seconds", "evaluation_interval", "evaluation_tasks", "evaluation_samples", "max_fault_share",
        "rollout_deadline_seconds",
        "trace_samples",
    )
)  # fmt: skip
"""Settings that may differ when a run goes on: they change where, how long and how well watched it runs, not what it
learns."""


def train(
    settings: GrpoSettings,
    *,
    rollout: RolloutSettings,
    farm: FarmSettings,
    start: Path,
    directory: Path,
    tasks: TaskSource,
    evaluation: Mapping[str, Sequence[Task]] | None = None,
    trace: Path | None = None,
    policy_loader: Any = load_checkpoint,
) -> Iterator[IterationRecord]:
    """Train `start` for `settings.iterations` and yield a record after each, once its checkpoint is on disk.

    Ray must be running. When the iterator ends or is closed, engines, farm and learners are gone.

    Args:
        start: the checkpoint to improve: a Hugging Face folder with its tokenizer.
        directory: where `rl-iter-N` are written, and found again.
        evaluation: held-out tasks by name; their figures are `<name>/compile_rate` and so on in the records of
            iteration 0, of every `evaluation_interval`-th and of the last.
        trace: file for the completions of `settings.trace_samples`.
        policy_loader: how learners open `start`.

    Raises:
        GrpoError, CheckpointError, RolloutError, FarmError: see there; the last checkpoint stands.
    """
    directory.mkdir(parents=True, exist_ok=True)
    resumed = newest_checkpoint(directory, PREFIX)
    identity = {name: value for name, value in settings.model_dump().items() if name not in FREE_TO_CHANGE}
    identity["tasks"] = tasks.fingerprint
    progress = _progress(resumed, identity)
    version = int(progress.get("policy_version", 0))
    if version >= settings.iterations:
        return
    config = (
        GRPOConfig()
        .training(
            grpo=settings,
            policy_dir=resumed or start,
            start_dir=start,
            policy_loader=policy_loader,
            tasks=tasks,
            cursor=Cursor(int(progress.get("next_index", 0)), tuple(progress.get("unfinished", ()))),
            version=version,
        )
        .services(rollout=rollout, farm=farm)
    )
    tracer = Trace(trace) if trace is not None else None
    algorithm: GRPO = config.build_algo()
    try:
        if version == 0:
            yield IterationRecord(0, settings.iterations, _evaluate(algorithm, evaluation))
        saved = time.monotonic()
        while version < settings.iterations:
            metrics = {name: float(value) for name, value in algorithm.train()[RESULT].items()}
            version = algorithm.version
            last = version == settings.iterations
            if last or version % settings.evaluation_interval == 0:
                metrics |= _evaluate(algorithm, evaluation)
            if tracer is not None:
                tracer.write(version, algorithm.groups, settings.trace_samples)
            due = last or version % settings.checkpoint_interval == 0
            if due or time.monotonic() - saved >= settings.resume_seconds:
                begun = time.monotonic()
                algorithm.save_policy(directory / f"{PREFIX}{version}", {"identity": identity})
                prune(directory, PREFIX, keep_every=settings.checkpoint_interval)
                saved = time.monotonic()
                metrics["seconds_checkpoint"] = saved - begun
            yield IterationRecord(version, settings.iterations, metrics)
    finally:
        algorithm.stop()


def _evaluate(algorithm: GRPO, evaluation: Mapping[str, Sequence[Task]] | None) -> dict[str, float]:
    return {
        f"{name}/{figure}": value
        for name, tasks in (evaluation or {}).items()
        for figure, value in algorithm.evaluate_tasks(tasks, name).items()
    }


def _progress(checkpoint: Path | None, identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a checkpoint says of the run that wrote it.

    Raises:
        ResumeMismatch: that run learned otherwise.
    """
    manifest = read_manifest(checkpoint) if checkpoint is not None else None
    if checkpoint is None or manifest is None:
        return {}
    then = manifest.progress.get("identity", {})
    changed = [name for name in identity if name in then and then[name] != identity[name]]
    if changed:
        words = ", ".join(f"grpo.{name} was {then[name]!r} and is {identity[name]!r}" for name in changed)
        raise ResumeMismatch(
            f"{checkpoint} belongs to a run with other settings: {words}. Set them back, or start a new run "
            f"(another run name, or remove {checkpoint.parent})."
        )
    return manifest.progress
