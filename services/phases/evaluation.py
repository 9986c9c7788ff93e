"""Measures the base, the supervised and the RL checkpoint on the same unseen tasks, with the same judge."""

from __future__ import annotations

from services.config import RunConfig
from services.evaluate import evaluate
from services.events import Reporter
from services.run_folder import RunFolder
from trainer.tasks.task import Split

LABELS = ("base", "supervised", "rl")


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:
    """Rates with confidence intervals, in `evaluation/<label>.json`; those on unseen tasks are the summary."""

    # A model that was given, and takes no supervised steps, is base and supervised model in one.
    labels = LABELS if config.supervised_steps[1] else LABELS[1:]

    def progress(label: str, done: int, wanted: int) -> None:
        reporter.progress(labels.index(label) * wanted + done, len(labels) * wanted, {}, {})

    checkpoints = {label: run.made(label) for label in labels}
    results = evaluate(checkpoints, run, config, run.evaluation, progress)
    return {
        f"{label}_{figure}": group.figures[figure].value
        for label, result in results.items()
        if (group := result.group(Split.UNSEEN_TASKS)) is not None
        for figure in ("compile_rate", "pass_rate")
    }
