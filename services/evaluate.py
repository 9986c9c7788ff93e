"""Evaluates checkpoints of a run on the run's own unseen tasks. Writes one result a checkpoint; compares nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from services.cluster import ray_cluster
from services.config import RunConfig
from services.run_folder import RunFolder
from trainer.evaluation.evaluation import Evaluation
from trainer.evaluation.evaluator import Progress
from trainer.evaluation.run import evaluate_checkpoints
from trainer.tasks.bank import TaskBank


def evaluate(
    checkpoints: Mapping[str, Path], run: RunFolder, config: RunConfig, out: Path, progress: Progress | None = None
) -> dict[str, Evaluation]:
    """Results by label; samples that are in `out` already are kept."""
    with ray_cluster(config.cluster):
        return asyncio.run(
            evaluate_checkpoints(
                checkpoints,
                TaskBank.load(run.tasks),
                out,
                settings=config.evaluation,
                farm_settings=config.farm,
                rollout_settings=config.rollout,
                progress=progress,
            )
        )


def evaluate_one(checkpoint: Path, run: RunFolder, config: RunConfig, out: Path, probes: int) -> Evaluation:
    """The result of one checkpoint, under its folder's name; `probes` answers are timed one at a time."""
    timed = config.evaluation.model_copy(update={"latency_probes": probes})
    config = config.model_copy(update={"evaluation": timed})
    label = f"{checkpoint.parent.name}-{checkpoint.name}"
    return evaluate({label: checkpoint}, run, config, out)[label]
