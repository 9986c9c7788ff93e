"""Two evaluations on the same tasks, paired: by how much do they differ, and could that be chance?

Pairing takes the tasks' difficulty out of the comparison, which separate intervals leave in. Pure; reads no files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trainer.evaluation.figures import FIGURES
from trainer.evaluation.sample import Mode, Sample
from trainer.evaluation.settings import EvaluationSettings
from trainer.evaluation.statistics import PairedDifference, paired_difference
from trainer.tasks.task import Split

COMPARED = ("parse_rate", "compile_rate", "pass_rate", "reward")
"""Figures that every task has, and so can be paired."""


class Standing(StrEnum):
    """What became of a task between two evaluations, by its one representative answer on each side."""

    FIXED = "fixed"
    BROKEN = "broken"
    BOTH_FAIL = "both fail"
    BOTH_PASS = "both pass"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of one split, before and after. Each task weighs the same."""

    figure: str
    split: Split
    mode: Mode
    difference: PairedDifference


def compare(before: Iterable[Sample], after: Iterable[Sample], settings: EvaluationSettings) -> list[Comparison]:
    """Compare each figure of `COMPARED` on each split and mode, over the tasks that both sides have verdicts on."""
    left, right = _task_means(before), _task_means(after)
    comparisons = []
    for split, mode in sorted({(split, mode) for split, mode, _ in left.keys() & right.keys()}):
        tasks = sorted(task for s, m, task in left.keys() & right.keys() if (s, m) == (split, mode))
        pairs = [(left[split, mode, task], right[split, mode, task]) for task in tasks]
        for column, figure in enumerate(COMPARED):
            values = np.array([(a[column], b[column]) for a, b in pairs])
            difference = paired_difference(
                values[:, 0],
                values[:, 1],
                seed=settings.seed,
                resamples=settings.resamples,
                confidence=settings.confidence,
            )
            comparisons.append(Comparison(figure, split, mode, difference))
    return comparisons


def representatives(samples: Iterable[Sample]) -> dict[str, Sample]:
    """One judged answer of each task: the greedy one, or the first that was sampled."""
    chosen: dict[str, Sample] = {}
    for sample in samples:
        if sample.scored is not None and sample.index == 0 and sample.mode is not Mode.ALONE:
            earlier = chosen.get(sample.task)
            if earlier is None or (earlier.mode is not Mode.GREEDY and sample.mode is Mode.GREEDY):
                chosen[sample.task] = sample
    return chosen


def standings(before: Mapping[str, Sample], after: Mapping[str, Sample]) -> dict[str, Standing]:
    """Of each task that both sides have a representative of."""
    return {task: _standing(_passed(before[task]), _passed(after[task])) for task in before.keys() & after.keys()}


def _standing(before: bool, after: bool) -> Standing:
    if before:
        return Standing.BOTH_PASS if after else Standing.BROKEN
    return Standing.FIXED if after else Standing.BOTH_FAIL


def _passed(sample: Sample) -> bool:
    return sample.scored is not None and sample.scored.passed


def _task_means(samples: Iterable[Sample]) -> dict[tuple[Split, Mode, str], Sequence[float]]:
    """Mean of each compared figure in each task, by (split, mode, task)."""
    measures = [figure.measure for name in COMPARED for figure in FIGURES if figure.name == name]
    rows: dict[tuple[Split, Mode, str], list[list[float]]] = defaultdict(list)
    for sample in samples:
        if (scored := sample.scored) is not None:
            rows[sample.split, sample.mode, sample.task].append(
                [measure(sample, scored) or 0.0 for measure in measures]
            )
    return {key: np.mean(values, axis=0).tolist() for key, values in rows.items()}
