"""All that a run folder says about its run, read once and leniently: what is missing is named, never guessed.

Reads only; the page is made from this record alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from services.errors import RunFolderError
from services.metrics_log import read_metrics
from services.pipeline import PHASES
from services.run_folder import Finished, RunFolder
from trainer.errors import TrainerError
from trainer.evaluation.compare import Comparison, compare
from trainer.evaluation.evaluation import Evaluation, load_evaluation
from trainer.evaluation.sample import Mode, Sample
from trainer.tasks.task import Split

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Arm:
    """A checkpoint that may have been evaluated: its label (the evaluation's file name), title and colour."""

    label: str
    title: str
    color: str


ARMS = (
    Arm("base", "Base", "base"),
    Arm("supervised", "Supervised", "supervised"),
    Arm("rl", "RL (GRPO)", "rl"),
    Arm("control", "Control", "control"),
)
"""In the order of training; the control arm is the supervised model trained further, as long as RL took."""

SPLIT_TITLES = {
    Split.UNSEEN_TASKS: "unseen tasks",
    Split.UNSEEN_FAMILIES: "unseen families",
    Split.TRAIN: "training tasks",
}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What was found."""

    root: Path
    config: str | None
    metrics: dict[str, list[Row]]
    """Rows of metrics.jsonl by phase, in order of steps."""
    phases: dict[str, Finished]
    """Finished phases in their order."""
    evaluations: dict[str, Evaluation]
    samples: dict[str, list[Sample]]
    missing: list[str] = field(default_factory=list)
    """What could not be found or read, in words."""

    @property
    def arms(self) -> list[Arm]:
        """The evaluated checkpoints."""
        return [arm for arm in ARMS if arm.label in self.evaluations]

    @property
    def unfinished(self) -> list[str]:
        """Phases that have not ended yet."""
        return [phase.name for phase in PHASES if phase.name not in self.phases and phase.name != "report"]

    def compare(self, before: str, after: str, split: Split, mode: Mode = Mode.SAMPLED) -> dict[str, Comparison]:
        """Paired comparisons by figure; empty where either side was not evaluated."""
        if not {before, after} <= self.samples.keys():
            return {}
        settings = self.evaluations[after].settings
        found = compare(_of(self.samples[before], split, mode), _of(self.samples[after], split, mode), settings)
        return {comparison.figure: comparison for comparison in found}


def read_run(root: Path) -> RunRecord:
    """Read a run folder.

    Raises:
        RunFolderError: there is no such folder, or nothing of a run in it.
    """
    run = RunFolder(root)
    if not any(path.exists() for path in (run.config_file, run.metrics_file, run.evaluation, root / "state")):
        raise RunFolderError(f"{root} is not a run folder: it has no config.toml. Give a folder such as runs/embedded.")
    missing: list[str] = []
    phases = {p.name: done for p in PHASES if (done := _attempt(partial(run.finished, p.name), missing))}
    loaded = {
        arm.label: found
        for arm in ARMS
        if (path := run.evaluation / f"{arm.label}.json").exists()
        and (found := _attempt(partial(load_evaluation, path), missing))
    }
    metrics: dict[str, list[Row]] = defaultdict(list)
    for row in _attempt(lambda: list(read_metrics(run.metrics_file)), missing) or []:
        metrics[row["phase"]].append(row)
    for rows in metrics.values():
        rows.sort(key=lambda row: row["step"])
    missing += _gaps(metrics, loaded.keys(), phases.keys())
    config = run.config_file.read_text(errors="replace") if run.config_file.exists() else None
    return RunRecord(
        root=root,
        config=config,
        metrics=dict(metrics),
        phases=phases,
        evaluations={label: evaluation for label, (evaluation, _) in loaded.items()},
        samples={label: samples for label, (_, samples) in loaded.items()},
        missing=missing,
    )


def _of(samples: list[Sample], split: Split, mode: Mode) -> list[Sample]:
    return [sample for sample in samples if (sample.split, sample.mode) == (split, mode)]


def _attempt(read: Callable[[], T], missing: list[str]) -> T | None:
    """What `read` gives, or None and a word about why not: a report of a damaged run is still a report."""
    try:
        return read()
    except (RunFolderError, TrainerError, ValueError, KeyError, OSError) as error:
        missing.append(str(error))
        return None


def _gaps(metrics: Container[str], evaluated: Container[str], phases: Container[str]) -> Iterator[str]:
    for phase, what in (("supervised", "the curves of supervised training"), ("rl", "the curves of RL")):
        if phase not in metrics:
            yield f"{what} are missing: metrics.jsonl has no rows of the phase {phase}"
    for label in ("base", "supervised", "rl"):
        if label not in evaluated:
            yield f"the {label} checkpoint has not been evaluated: there is no evaluation/{label}.json"
    if "control" not in evaluated:
        yield "no control arm (further supervised training for the time that RL took) was run"
    if "export" not in phases:
        yield "the model has not been exported"
