"""Evaluates several checkpoints on the same tasks, with one engine and one farm for all. Ray must be running."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from reward_farm.pool import RewardFarm
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Verdict
from rollout.settings import RolloutSettings
from trainer.evaluation.answers import sampled_by
from trainer.evaluation.engine import CheckpointEngine, checkpoint_sha256, model_facts
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.evaluation import Evaluation
from trainer.evaluation.evaluator import IN_FLIGHT, Progress, Subject, evaluate
from trainer.evaluation.judge_words import describe_judge
from trainer.evaluation.sample import Identity
from trainer.evaluation.settings import EvaluationSettings
from trainer.grpo.codec import Codec
from trainer.tasks.bank import TaskBank
from trainer.tasks.cases import rotated
from trainer.tasks.task import Split, Task


async def evaluate_checkpoints(
    checkpoints: Mapping[str, Path],
    bank: TaskBank,
    out_dir: Path,
    *,
    settings: EvaluationSettings,
    farm_settings: FarmSettings,
    rollout_settings: RolloutSettings,
    progress: Progress | None = None,
) -> dict[str, Evaluation]:
    """Evaluate every checkpoint; results by label, and files `<label>.json` and `<label>.jsonl` in `out_dir`.

    Interrupted, it goes on where it was: judged samples are kept, and a finished checkpoint costs no engine.

    Raises:
        EvaluationError: a folder is no checkpoint, or the bank has no tasks to evaluate on.
        TooManyFaults: the farm failed on too many samples.
    """
    tasks = choose_tasks(bank, settings)
    if not tasks:
        raise EvaluationError("the task bank has no tasks to evaluate on. Build it again with its unseen splits.")
    identities = {
        label: Identity(checkpoint_sha256(path), describe_judge(farm_settings)) for label, path in checkpoints.items()
    }
    codecs = {label: Codec(path) for label, path in checkpoints.items()}
    farm = RewardFarm(farm_settings)
    engine = CheckpointEngine(rollout_settings, next(iter(codecs.values())).eos_token_id)
    try:
        return {
            label: await evaluate(
                Subject(label, str(path), identities[label], model=model_facts(path)),
                tasks,
                answers=sampled_by(partial(engine.generate, path), codecs[label], settings.max_tokens),
                judge=partial(_judge_as, farm, label),
                settings=settings,
                out_dir=out_dir,
                in_flight=min(IN_FLIGHT, farm_settings.max_queue),
                progress=progress,
            )
            for label, path in checkpoints.items()
        }
    finally:
        await engine.close()
        await farm.close()


async def _judge_as(farm: RewardFarm, label: str, submission: Submission) -> Verdict:
    """Two labels may name one checkpoint, whose samples then have the same keys, and not always the same texts."""
    return await farm.judge(replace(submission, id=f"{label}/{submission.id}"))


def choose_tasks(bank: TaskBank, settings: EvaluationSettings) -> list[Task]:
    """The tasks to evaluate on: the same for the same bank and settings, spread over the families of each split."""
    wanted = {
        Split.UNSEEN_TASKS: settings.unseen_tasks,
        Split.UNSEEN_FAMILIES: settings.unseen_tasks,
        Split.TRAIN: settings.train_tasks,
    }
    chosen = [task for split, count in wanted.items() for task in bank.sample(split, count, settings.seed)]
    return rotated(chosen, settings.rotation)
