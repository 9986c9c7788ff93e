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
from trainer.tasks.task import Split


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


def evaluate_one(checkpoint: Path, run: RunFolder, config: RunConfig, out: Path) -> list[str]:
    """A table for the terminal: each split's rates with their intervals."""
    label = f"{checkpoint.parent.name}-{checkpoint.name}"
    result = evaluate({label: checkpoint}, run, config, out)[label]
    lines = [f"{label} ({result.settings.confidence:.0%} intervals; details in {out / label}.json)"]
    for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES, Split.TRAIN):
        if (group := result.group(split)) is not None:
            rates = [
                f"{name.removesuffix('_rate')} {e.value:.1%} [{e.low:.1%}, {e.high:.1%}]"
                for name in ("parse_rate", "compile_rate", "pass_rate")
                if (e := group.figures[name]).value is not None and e.low is not None and e.high is not None
            ]
            reward = group.figures["reward"].value
            shown = "" if reward is None else f"  reward {reward:.1f} of 30"
            lines.append(f"  {split.value:<16} {group.tasks} tasks: {'  '.join(rates)}{shown}")
    return lines
