"""One or two evaluations as the report sees them: read, and paired task by task. Measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from services.errors import UserError
from trainer.evaluation.compare import Comparison, Standing, compare, representatives, standings
from trainer.evaluation.criteria import Finding, findings, load_criteria
from trainer.evaluation.evaluation import Evaluation, Group, load_evaluation, overall
from trainer.evaluation.sample import Mode, Sample
from trainer.evaluation.statistics import mcnemar_p
from trainer.tasks.task import Split

COLORS = ("supervised", "rl")
"""Of the first and of the second result; a single one has the second's."""


@dataclass(frozen=True, slots=True)
class Side:
    """One evaluation, with its samples, a title that tells it from the other one, and its colour."""

    evaluation: Evaluation
    samples: tuple[Sample, ...]
    title: str
    color: str

    @property
    def findings(self) -> list[Finding]:
        """The success criteria, met or not."""
        return findings(self.evaluation, load_criteria())

    def group(self, split: Split) -> Group | None:
        """All of a split: what was sampled, or else what was decoded greedily."""
        return self.evaluation.group(split) or self.evaluation.group(split, Mode.GREEDY)


@dataclass(frozen=True)
class Results:
    """One side, or two in the order before, after."""

    sides: tuple[Side, ...]

    @property
    def before(self) -> Side | None:
        """What the last one is compared with, if anything."""
        return self.sides[0] if len(self.sides) == 2 else None

    @property
    def last(self) -> Side:
        """The result that the report is about."""
        return self.sides[-1]

    @cached_property
    def splits(self) -> list[Split]:
        """Splits that every side measured; what was trained on comes last."""
        found = [split for split in Split if all(side.group(split) for side in self.sides)]
        return sorted(found, key=lambda split: split is Split.TRAIN)

    @cached_property
    def representatives(self) -> list[dict[str, Sample]]:
        """One answer a task, side by side."""
        return [representatives(side.samples) for side in self.sides]

    @cached_property
    def tasks(self) -> list[str]:
        """Ids of the tasks that every side answered, by split and family."""
        first, *others = self.representatives
        shared = [sample for task, sample in first.items() if all(task in other for other in others)]
        order = {split: place for place, split in enumerate(self.splits)}
        shared.sort(key=lambda sample: (order.get(sample.split, len(order)), sample.family, sample.task))
        return [sample.task for sample in shared]

    @cached_property
    def standings(self) -> dict[str, Standing]:
        """What became of each task; empty with one side."""
        return standings(*self.representatives) if len(self.sides) == 2 else {}

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every paired figure, as `trainer.evaluation.compare.compare` has them; none with one side."""
        if self.before is None:
            return []
        return compare(self.before.samples, self.last.samples, self.last.evaluation.settings)

    def paired(self, split: Split, figure: str) -> Comparison | None:
        """The comparison of a figure on a split, of what was sampled where anything was."""
        found = [each for each in self.comparisons if (each.split, each.figure) == (split, figure)]
        return min(found, key=lambda each: each.mode is not Mode.SAMPLED, default=None)

    @cached_property
    def untrained(self) -> list[str]:
        """Tasks that both sides answered and nothing was trained on; all, where there are no others."""
        last = self.representatives[-1]
        return [task for task in self.tasks if last[task].split is not Split.TRAIN] or self.tasks

    def mcnemar(self, split: Split | None = None) -> tuple[int, int, float]:
        """Tasks fixed, tasks broken, and the p-value of "as many of one as of the other".

        Of a split, or of all that was not trained on.
        """
        last = self.representatives[-1]
        tasks = self.untrained if split is None else [task for task in self.tasks if last[task].split is split]
        chosen = [self.standings[task] for task in tasks]
        fixed, broken = (chosen.count(kind) for kind in (Standing.FIXED, Standing.BROKEN))
        return fixed, broken, mcnemar_p(fixed, broken)

    @property
    def cautions(self) -> list[str]:
        """Why the two sides may differ by more than the model."""
        if self.before is None:
            return []
        left, right = self.before.evaluation, self.last.evaluation
        said = []
        if left.settings.rotation != right.settings.rotation:
            said.append("hidden inputs were drawn by different rotations")
        elif left.benchmark_sha256 != right.benchmark_sha256:
            said.append(
                f"the two were measured on different tasks; the {len(self.tasks)} tasks that both have are compared"
            )
        if left.judged_by != right.judged_by:
            said.append("the two were judged differently (see the hashes at the end)")
        if left.prompts != right.prompts:
            said.append(f"tasks were put differently: {left.prompts or 'code'} / {right.prompts or 'code'}")
        for key in ("temperature", "max_tokens"):
            values = [getattr(side.settings, key) for side in (left, right)]
            if values[0] != values[1]:
                said.append(f"{key.replace('_', ' ')} was {values[0]} / {values[1]}")
        return said


def read_results(paths: Sequence[Path]) -> Results:
    """The results in one or two `<label>.json` files.

    Raises:
        trainer.evaluation.errors.ResultsUnreadable: a file is missing or no evaluation.
        UserError: they have no task in common.
    """
    if not 1 <= len(paths) <= 2:
        raise UserError(f"a report is about one result or two, not {len(paths)}")
    loaded = [_whole(*load_evaluation(path)) for path in paths]
    titles = _titles([evaluation for evaluation, _ in loaded], paths)
    colors = COLORS[-len(loaded) :]
    results = Results(
        tuple(
            Side(evaluation, tuple(samples), title, color)
            for (evaluation, samples), title, color in zip(loaded, titles, colors, strict=True)
        )
    )
    if not results.tasks:
        reason = "have no task in common" if len(loaded) == 2 else "has no judged answer"
        raise UserError(f"{' and '.join(map(str, paths))} {reason}: evaluate on the same bank first")
    return results


def _whole(evaluation: Evaluation, samples: list[Sample]) -> tuple[Evaluation, list[Sample]]:
    """Results of earlier versions lack the figures that the criteria are about."""
    if not evaluation.overall:
        evaluation = evaluation.model_copy(update={"overall": overall(samples, evaluation.settings)})
    return evaluation, samples


def _titles(evaluations: Sequence[Evaluation], paths: Sequence[Path]) -> list[str]:
    """Labels; with their folders where they are the same."""
    labels = [evaluation.label for evaluation in evaluations]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{path.resolve().parent.name}/{label}" for path, label in zip(paths, labels, strict=True)]
