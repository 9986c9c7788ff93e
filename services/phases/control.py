"""The control arm: the supervised model trained on, supervised, as long as RL took. RL is worth what it adds to it."""

from __future__ import annotations

from services.config import RunConfig
from services.errors import RunFolderError
from services.events import Reporter
from services.phases.supervised import train
from services.run_folder import RunFolder


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:
    """As many further steps as fit into RL's wall time at the supervised phase's speed, then the learning rate is down.

    Raises:
        RunFolderError: the run has not finished the phases `supervised` and `rl`, or took no supervised steps.
    """
    supervised, rl = run.finished("supervised"), run.finished("rl")
    if supervised is None or rl is None:
        raise RunFolderError(f"{run.root} has no finished RL to compare with. Run: ferrotype run --run-dir {run.root}")
    begun, first = config.supervised_steps
    if begun == first:
        raise RunFolderError(
            f"{run.root} improved a model that was given, without supervised steps (pretrain.start_steps = 0): there "
            "is nothing to go on with."
        )
    speed = (first - begun) / supervised.seconds
    last = first + max(1, round(speed * rl.seconds))
    reporter.note(f"{last - first} further steps: what {rl.seconds:.0f} s of RL cost")
    longer = config.pretrain.model_copy(update={"base_steps": first, "target_steps": last})
    return train(
        run,
        config.model_copy(update={"pretrain": longer}),
        reporter,
        start=run.made("supervised"),
        first=first,
        last=last,
        directory=run.checkpoints / "control",
        kind="control",
    )
