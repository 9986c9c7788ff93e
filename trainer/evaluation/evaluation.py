"""The result of evaluating one checkpoint: its summary by split and by family, and where it came from.

Two files: `<label>.json` is the summary, `<label>.jsonl` the samples. Everything in the summary is computed from the
samples; nothing here runs a model.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from reward_farm.verdict import InfraFault
from trainer.corpus.atomic import atomic_file
from trainer.evaluation.errors import ResultsUnreadable
from trainer.evaluation.figures import Estimate, Table
from trainer.evaluation.funnel import funnel
from trainer.evaluation.journal import read_samples
from trainer.evaluation.latency import Latency
from trainer.evaluation.sample import Mode, Sample
from trainer.evaluation.settings import EvaluationSettings
from trainer.evaluation.watch import watch
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
    funnel: dict[str, int] = {}
    """Samples that came past each step, in order (`trainer.evaluation.funnel`)."""
    lints: dict[str, int] = {}
    """clippy's lints in code that compiles, commonest first."""
    cheats: dict[str, int] = {}
    """Samples by what is suspicious in them (`trainer.evaluation.watch`)."""
    verified_tasks: int = 0
    """Tasks that a known solution passes."""
    verified: dict[str, Estimate] = {}
    """The rates over those alone; empty where all tasks are such."""


class ModelFacts(BaseModel):
    """What is known of the model beside its hash."""

    model_config = ConfigDict(frozen=True)

    kind: str = "checkpoint"
    """checkpoint, gguf, endpoint or samples."""
    tokenizer_sha256: str = ""
    bytes: int | None = None
    """Of the file that is served: what the criterion of size is about."""


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
    overall: dict[str, Estimate] = {}
    """All sampled completions but those of the training split: what the success criteria are about."""
    model: ModelFacts = ModelFacts()
    command: str = ""
    """As it was typed, if it was."""
    prompts: str = ""
    """How tasks were put, and why so."""
    latency: Latency | None = None
    """Of generations that were asked for one at a time."""
    loaded_latency: Latency | None = None
    """Of all generations, each beside as many others as the engine takes."""

    @property
    def identity(self) -> dict[str, str]:
        """Hashes and words of all that the figures depend on. Equal identities, equal figures."""
        settings = self.settings.model_dump_json()
        return {
            "benchmark": self.benchmark_sha256,
            "model": self.checkpoint_sha256,
            "tokenizer": self.model.tokenizer_sha256,
            "judge": self.judged_by,
            "judge_sha256": hashlib.sha256(self.judged_by.encode()).hexdigest(),
            "settings_sha256": hashlib.sha256(settings.encode()).hexdigest(),
            "seed": str(self.settings.seed),
        }

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


Tables: TypeAlias = Mapping[Mode, Table]


def tabulate(samples: Sequence[Sample], settings: EvaluationSettings) -> Tables:
    """What `summarise` and `overall` sum up, measured once for both."""
    return {
        mode: Table([s for s in samples if s.mode is mode], settings.ks, settings.clippy)
        for mode in {sample.mode for sample in samples}
    }


def summarise(
    samples: Sequence[Sample], settings: EvaluationSettings, tables: Tables | None = None
) -> tuple[Group, ...]:
    """Group samples by split and mode, then by family too."""
    tables = tables or tabulate(samples, settings)
    by_place: dict[tuple[Split, Mode], list[Sample]] = defaultdict(list)
    for sample in samples:
        by_place[sample.split, sample.mode].append(sample)
    whole: list[Group] = []
    families: list[Group] = []
    for (split, mode), placed in sorted(by_place.items()):
        table = tables[mode]
        whole.append(_group(split, mode, None, placed, table, settings))
        by_family: dict[str, list[Sample]] = defaultdict(list)
        for sample in placed:
            by_family[sample.family].append(sample)
        families += [_group(split, mode, family, found, table, settings) for family, found in sorted(by_family.items())]
    return (*whole, *families)


def overall(
    samples: Sequence[Sample], settings: EvaluationSettings, tables: Tables | None = None
) -> dict[str, Estimate]:
    """Figures over everything sampled that is not of the training split; of greedy ones where nothing was sampled."""
    mode = Mode.SAMPLED if settings.samples_per_task else Mode.GREEDY
    table = (tables or tabulate(samples, settings)).get(mode) or Table([], settings.ks, settings.clippy)
    others = {s.task for s in samples if s.mode is mode and s.split is not Split.TRAIN}
    return _estimate(table, others or None, settings)


def count_faults(samples: Iterable[Sample]) -> dict[str, int]:
    """Samples without a verdict, by reason."""
    return dict(Counter(sample.verdict.reason for sample in samples if isinstance(sample.verdict, InfraFault)))


def _group(
    split: Split, mode: Mode, family: str | None, samples: list[Sample], table: Table, settings: EvaluationSettings
) -> Group:
    judged = [(sample, sample.scored) for sample in samples if sample.scored is not None]
    codes = Counter(
        code
        for _, scored in judged
        for code in {d.code or "none" for d in scored.diagnostics if d.level == "error"}
    )  # fmt: skip
    verified = {sample.task for sample, _ in judged if sample.verified}
    some_unverified = any(not sample.verified for sample, _ in judged)
    return Group(
        split=split,
        mode=mode,
        family=family,
        tasks=len({sample.task for sample, _ in judged}),
        samples=len(judged),
        faults=len(samples) - len(judged),
        figures=_estimate(table, {sample.task for sample, _ in judged}, settings),
        outcomes=dict(Counter(scored.outcome.value for _, scored in judged)),
        error_codes=_commonest_first(codes),
        funnel=funnel([scored for _, scored in judged], settings.clippy),
        lints=_commonest_first(
            Counter(
                d.code for _, scored in judged if scored.compiled for d in scored.diagnostics if d.is_lint and d.code
            )
        ),
        cheats=dict(Counter(name for sample, scored in judged for name in watch(sample, scored))),
        verified_tasks=len(verified),
        verified={
            name: figure
            for name, figure in (_estimate(table, verified, settings).items() if some_unverified and verified else ())
            if name.endswith(("parse_rate", "compile_rate", "pass_rate")) or "@" in name
        },
    )


def _estimate(table: Table, tasks: Collection[str] | None, settings: EvaluationSettings) -> dict[str, Estimate]:
    return table.estimate(tasks, seed=settings.seed, resamples=settings.resamples, confidence=settings.confidence)


def _commonest_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
