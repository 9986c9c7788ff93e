"""Reinforcement learning from the supervised model on: GRPO, with rustc and hidden tests as the judge."""

from __future__ import annotations

from services.cluster import ray_cluster
from services.config import RunConfig
from services.errors import Interrupted
from services.events import Reporter
from services.run_folder import RunFolder
from trainer.grpo.run import PREFIX, train
from trainer.grpo.task_order import ShuffledTasks
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Split

SHOWN = ("reward_mean", "compile_rate", "pass_rate", "completion_length", "seconds")
"""Figures of an iteration that the operator sees; metrics.jsonl has all."""


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:
    """Iterations 0 to `grpo.iterations`, evaluated now and then on tasks that it never trains on."""
    bank = TaskBank.load(run.tasks)
    held_out = {
        split.value: bank.sample(split, config.grpo.evaluation_tasks)
        for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES)
    }
    with ray_cluster(config.cluster):
        records = train(
            config.grpo,
            rollout=config.rollout,
            farm=config.farm,
            start=run.made("supervised"),
            directory=run.rl,
            tasks=ShuffledTasks(bank.tasks(Split.TRAIN), config.grpo.seed),
            evaluation=held_out,
            trace=run.traces / "rl",
            stop=lambda: reporter.stop_asked,
        )
        last: dict[str, float] = {}
        done = config.grpo.iterations
        for record in records:
            reporter.finishes_steps()
            figures = {_short(name): record.metrics[name] for name in SHOWN if name in record.metrics}
            row: dict[str, object] = dict(record.metrics)
            if record.events:
                row["events"] = record.events
            reporter.progress(record.iteration, record.last_iteration, figures, row)
            for event in record.events:
                reporter.note(event)
            last = figures or last
            _note_evaluation(record.iteration, record.metrics, reporter)
            done = record.iteration
    if reporter.stop_asked and done < config.grpo.iterations:
        raise Interrupted(f"stopped after iteration {done}; its checkpoint is on disk")
    return {"checkpoint": run.inside(run.rl / f"{PREFIX}{config.grpo.iterations}"), **last}


def _short(name: str) -> str:
    return name.removesuffix("_mean")


def _note_evaluation(iteration: int, metrics: dict[str, float], reporter: Reporter) -> None:
    for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES):
        rates = {rate: metrics.get(f"{split.value}/{rate}") for rate in ("compile_rate", "pass_rate")}
        if all(value is not None for value in rates.values()):
            shown = " ".join(f"{rate}={value:.3f}" for rate, value in rates.items())
            reporter.note(f"iteration {iteration} on {split.value}: {shown}")
