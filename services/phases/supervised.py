"""Supervised training from the base model on: crates and solved training tasks, or of a given model those alone."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from services.config import RunConfig
from services.errors import Interrupted
from services.events import Reporter
from services.phases.training_data import batches
from services.run_folder import RunFolder
from trainer.pretrain import StepRecord, pretrain


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:
    """The steps `config.supervised_steps`; or the model that was given, as it is."""
    first, last = config.supervised_steps
    if first == last:
        return dict(run.summary("base"))
    schedule = config.pretrain.model_copy(update={"base_steps": first, "target_steps": last})
    return train(
        run,
        config.model_copy(update={"pretrain": schedule}),
        reporter,
        start=run.made("base"),
        first=first,
        last=last,
        directory=run.supervised,
        kind="supervised",
    )


def train(
    run: RunFolder,
    config: RunConfig,
    reporter: Reporter,
    *,
    start: PreTrainedModel | Path,
    first: int,
    last: int,
    directory: Path,
    kind: str,
) -> dict[str, object]:
    """Train from where `directory` stands and return the phase's summary."""
    settings = config.pretrain
    share = settings.base_task_share if kind == "base" else settings.task_share
    losses: list[float] = []

    def on_step(record: StepRecord) -> None:
        losses.append(record.loss)
        speed = settings.batch_size * settings.context / record.seconds
        figures = {"loss": record.loss, "grad_norm": record.grad_norm, "tokens_per_second": speed}
        row = {**figures, "learning_rate": record.learning_rate, "tokens": record.tokens}
        reporter.progress(record.step, last, figures, row)
        reporter.finishes_steps()

    checkpoint = pretrain(
        settings,
        batches=batches(run, config, share),
        start=start,
        first_step=first,
        last_step=last,
        directory=directory,
        tokenizer_dir=run.tokenizer if config.start_from is None else run.made("base"),
        kind=kind,
        on_step=on_step,
        stop=lambda: reporter.stop_asked,
    )
    if reporter.stop_asked and checkpoint.name != f"step_{last}":
        raise Interrupted(f"stopped after {checkpoint.name}; its checkpoint is on disk")
    # Nothing was left to do if a kill came between the last checkpoint and the phase's state.
    recent = losses[-10:]
    return {"checkpoint": run.inside(checkpoint), **({"loss": sum(recent) / len(recent)} if recent else {})}
