"""The result of evaluating one checkpoint: its summary by split and by family, and where it came from.

Two files: `<label>.json` is the summary, `<label>.jsonl` the samples. Everything in the summary is computed from the
samples; nothing here runs a model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from reward_farm.verdict import InfraFault
from trainer.corpus.atomic import atomic_file
from trainer.evaluation.errors import ResultsUnreadable
from trainer.evaluation.figures import Estimate, estimate
from trainer.evaluation.journal import read_samples
from trainer.evaluation.sample import Mode, Sample
from trainer.evaluation.settings import EvaluationSettings
from trainer.tasks.task import Split


class Group(BaseModel):
    """All samples of one split (and, where `family` is given, of one family in it) taken in one mode."""

    model_config = ConfigDict(frozen=True)

    split: Split
    mode: Mode
    family: str | None
    tasks: int
    samples: int
    faults: int
    figures: dict[str, Estimate]
    outcomes: dict[str, int]
    """Samples by `Outcome`."""
    error_codes: dict[str, int]
    """Samples in which rustc gave this error code at least once ("none" for errors without a code), commonest first."""


class Evaluation(BaseModel):
    """One checkpoint's figures, and what they were measured with."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    label: str
    checkpoint: str
    checkpoint_sha256: str
    benchmark_sha256: str
    judged_by: str
    """The compiler and the weights of the reward."""
    settings: EvaluationSettings
    seconds: float
    """Wall time of this evaluation, without the start of the engines."""
    reused_samples: int
    """Samples taken over from an earlier, interrupted run."""
    faults: dict[str, int]
    """Samples that could not be judged, by reason. They are in no figure."""
    groups: tuple[Group, ...]

    def group(self, split: Split, mode: Mode = Mode.SAMPLED, family: str | None = None) -> Group | None:
        """The group asked for, or None if nothing of it was measured."""
        wanted = (split, mode, family)
        return next((group for group in self.groups if (group.split, group.mode, group.family) == wanted), None)

    def save(self, directory: Path) -> Path:
        """Write `<label>.json`."""
        path = directory / f"{self.label}.json"
        with atomic_file(path) as file:
            file.write(self.model_dump_json(indent=1).encode())
        return path


def load_evaluation(path: Path) -> tuple[Evaluation, list[Sample]]:
    """Read `<label>.json` and the samples beside it.

    Raises:
        ResultsUnreadable: the summary is missing, or is not one of this version's.
    """
    try:
        evaluation = Evaluation.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ResultsUnreadable(
            f"{path} can't be read as an evaluation ({str(error).splitlines()[0]}). Remove it and evaluate again: "
            "judged samples are kept."
        ) from error
    return evaluation, list(read_samples(path.with_suffix(".jsonl")).values())


def summarise(samples: Sequence[Sample], settings: EvaluationSettings) -> tuple[Group, ...]:
    """Group samples by split and mode, then by family too."""
    whole = {(sample.split, sample.mode, None) for sample in samples}
    families = {(sample.split, sample.mode, sample.family) for sample in samples}
    return tuple(
        _group(
            split,
            mode,
            family,
            [s for s in samples if (s.split, s.mode) == (split, mode) and family in (None, s.family)],
            settings,
        )
        for split, mode, family in [*sorted(whole), *sorted(families)]
    )


def count_faults(samples: Iterable[Sample]) -> dict[str, int]:
    """Samples without a verdict, by reason."""
    return dict(Counter(sample.verdict.reason for sample in samples if isinstance(sample.verdict, InfraFault)))


def _group(split: Split, mode: Mode, family: str | None, samples: list[Sample], settings: EvaluationSettings) -> Group:
    judged = [(sample, sample.scored) for sample in samples if sample.scored is not None]
    codes = Counter(
        code
        for _, scored in judged
        for code in {d.code or "none" for d in scored.diagnostics if d.level == "error"}
    )  # fmt: skip
    return Group(
        split=split,
        mode=mode,
        family=family,
        tasks=len({sample.task for sample, _ in judged}),
        samples=len(judged),
        faults=len(samples) - len(judged),
        figures=estimate(
            [sample for sample, _ in judged],
            seed=settings.seed,
            resamples=settings.resamples,
            confidence=settings.confidence,
        ),
        outcomes=dict(Counter(scored.outcome.value for _, scored in judged)),
        error_codes=dict(sorted(codes.items(), key=lambda item: (-item[1], item[0]))),
    )
