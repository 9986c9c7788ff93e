"""Measures the control arm on the tasks, and with the judge, that the other checkpoints were measured with."""

from __future__ import annotations

from services.config import RunConfig
from services.evaluate import evaluate
from services.events import Reporter
from services.run_folder import RunFolder
from trainer.tasks.task import Split


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:
    """Rates with confidence intervals, in `evaluation/control.json`; those on unseen tasks are the summary."""
    checkpoint = run.made("control")

    def progress(label: str, done: int, wanted: int) -> None:  # noqa: ARG001
        reporter.progress(done, wanted, {}, {})

    result = evaluate({"control": checkpoint}, run, config, run.evaluation, progress)["control"]
    group = result.group(Split.UNSEEN_TASKS)
    return {name: group.figures[name].value for name in ("compile_rate", "pass_rate")} if group is not None else {}
