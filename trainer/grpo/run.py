"""The reinforcement-learning phase from start to end: iterate, evaluate, checkpoint, resume.

Every iteration leaves a whole checkpoint `rl-iter-N` (Hugging Face folder, optimizer, data cursor); those that
`checkpoint_interval` doesn't divide are removed when the next one is on disk. A killed run is called again with the
same arguments and goes on from the newest one; where only a learner died, new learners do, with the same engines and
farm, as long as the last ones got further than those before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward_farm.settings import FarmSettings
from rollout.settings import RolloutSettings
from trainer.checkpoint import fingerprint, load_checkpoint, newest_checkpoint, prune, read_manifest
from trainer.grpo.algorithm import GRPO, GRPOConfig
from trainer.grpo.collector import Cursor
from trainer.grpo.errors import LearnerDied, ResumeMismatch
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
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[IterationRecord]:
    """Train `start` for `settings.iterations` and yield a record after each, once its checkpoint is on disk.

    Ray must be running. When the iterator ends or is closed, engines, farm and learners are gone.

    Args:
        start: the checkpoint to improve: a Hugging Face folder with its tokenizer.
        directory: where `rl-iter-N` are written, and found again.
        evaluation: held-out tasks by name; their figures are `<name>/compile_rate` and so on in the records of
            iteration 0, of every `evaluation_interval`-th and of the last.
        trace: folder for the completions of every iteration.
        policy_loader: how learners open `start`.
        stop: asked after each iteration; once true, its checkpoint is written and no other iteration is begun.

    Raises:
        GrpoError, CheckpointError, RolloutError, FarmError: see there; the last checkpoint stands.
    """
    directory.mkdir(parents=True, exist_ok=True)
    identity = {name: value for name, value in settings.model_dump().items() if name not in FREE_TO_CHANGE}
    identity |= {"tasks": tasks.fingerprint, "start": fingerprint(start)}
    place = _place(directory, start, identity)
    if place.version >= settings.iterations:
        return
    config = (
        GRPOConfig()
        .training(
            grpo=settings,
            policy_dir=place.policy_dir,
            start_dir=start,
            policy_loader=policy_loader,
            tasks=tasks,
            cursor=place.cursor,
            version=place.version,
        )
        .services(rollout=rollout, farm=farm)
    )
    tracer = Trace(trace) if trace is not None else None
    algorithm: GRPO = config.build_algo()
    events: tuple[str, ...] = ()
    replaced = -1
    try:
        if place.version == 0:
            yield IterationRecord(0, settings.iterations, _evaluate(algorithm, evaluation))
        saved = time.monotonic()
        while algorithm.version < settings.iterations:
            try:
                algorithm.train()
                version, metrics = algorithm.version, dict(algorithm.record)
                last = version == settings.iterations
                if last or version % settings.evaluation_interval == 0:
                    metrics |= _evaluate(algorithm, evaluation)
                if tracer is not None:
                    tracer.write(version, algorithm.groups, settings.trace_samples)
                stopped = stop()
                due = last or stopped or version % settings.checkpoint_interval == 0
                if due or time.monotonic() - saved >= settings.resume_seconds:
                    begun = time.monotonic()
                    algorithm.save_policy(directory / f"{PREFIX}{version}", {"identity": identity})
                    prune(directory, PREFIX, keep_every=settings.checkpoint_interval)
                    saved = time.monotonic()
                    metrics["seconds_checkpoint"] = saved - begun
            except LearnerDied:
                place = _place(directory, start, identity)
                if place.version <= replaced:
                    raise
                replaced = place.version
                algorithm.replace_learners(place.policy_dir, place.version, place.cursor)
                events = (f"a learner died; new ones go on from iteration {place.version}",)
                continue
            yield IterationRecord(version, settings.iterations, metrics, (*events, *algorithm.events))
            events = ()
            if stopped:
                return
    finally:
        algorithm.stop()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a run stands: the policy, its version, and what comes next."""

    policy_dir: Path
    version: int
    cursor: Cursor


def _place(directory: Path, start: Path, identity: Mapping[str, Any]) -> _Place:
    """The newest checkpoint's, or the start."""
    newest = newest_checkpoint(directory, PREFIX)
    progress = _progress(newest, identity)
    cursor = Cursor(
        int(progress.get("next_index", 0)), tuple(progress.get("unfinished", ())), progress.get("task_history", {})
    )
    return _Place(newest or start, int(progress.get("policy_version", 0)), cursor)


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
        words = ", ".join(f"{_named(name)} was {then[name]!r} and is {identity[name]!r}" for name in changed)
        raise ResumeMismatch(
            f"{checkpoint} belongs to a run with other settings: {words}. Set them back, or start a new run "
            f"(another run name, or remove {checkpoint.parent})."
        )
    return manifest.progress


def _named(part: str) -> str:
    return {"tasks": "the set of tasks", "start": "the checkpoint that RL started from"}.get(part, f"grpo.{part}")
