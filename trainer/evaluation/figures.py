"""What is measured of a completion, figure by figure, and how figures are summed up to a rate with its interval.

Pure functions over samples. A sample whose verdict is a fault of the farm is in no figure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reward_farm.verdict import Scored, SyntaxMetrics
from trainer.evaluation.sample import Sample
from trainer.evaluation.statistics import Floats, ratio_intervals, wilson_interval


@dataclass(frozen=True, slots=True)
class Figure:
    """A named measurement of one sample. `measure` gives None where it does not apply."""

    name: str
    title: str
    is_share: bool
    measure: Callable[[Sample, Scored], float | None]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over many samples. All but `count` are None where nothing could be measured."""

    value: float | None
    low: float | None
    high: float | None
    count: int
    method: str | None


def _of_compiled(measure: Callable[[SyntaxMetrics], float | None]) -> Callable[[Sample, Scored], float | None]:
    """Style is measured on code that compiles: what does not compile has none."""
    return lambda _, scored: measure(scored.metrics) if scored.compiled and scored.metrics else None


FIGURES = (
    Figure("parse_rate", "parses", True, lambda _, scored: scored.parsed),
    Figure("compile_rate", "compiles", True, lambda _, scored: scored.compiled),
    Figure("pass_rate", "passes all tests", True, lambda _, scored: scored.passed),
    Figure("reward", "mean reward (of 30)", False, lambda _, scored: scored.reward.total),
    Figure("iterator_rate", "uses iterators or closures", True, _of_compiled(lambda m: m.uses_iterators_or_closures)),
    Figure("result_option_rate", "returns Result or Option", True, _of_compiled(lambda m: m.returns_result_or_option)),
    Figure(
        "documented_rate",
        "functions with docs",
        True,
        _of_compiled(lambda m: m.documented_functions / m.functions if m.functions else None),
    ),
    Figure("panics", "panicking calls", False, _of_compiled(lambda m: float(m.panicking_calls))),
    Figure("complexity", "cyclomatic complexity", False, _of_compiled(lambda m: m.cyclomatic_complexity)),
    Figure("cheat_rate", "cheats", True, lambda _, scored: scored.cheat is not None),
    Figure("completion_tokens", "completion length (tokens)", False, lambda sample, _: float(sample.tokens)),
    Figure("truncated_rate", "cut off at the limit", True, lambda sample, _: sample.truncated),
)
"""Measured sample by sample."""

TASK_FIGURES = {
    "solved_rate": "tasks solved by any sample",
    "distinct_share": "distinct completions",
}
"""Measured task by task: pass@n with n the samples of a task, and how many of them differ."""


def tables(samples: Iterable[Sample]) -> tuple[Floats, Floats]:
    """Sum and count of each figure in each task, both (tasks, figures); columns: `FIGURES`, then `TASK_FIGURES`."""
    by_task: dict[str, list[tuple[Sample, Scored]]] = defaultdict(list)
    for sample in samples:
        if sample.scored is not None:
            by_task[sample.task].append((sample, sample.scored))
    sums = np.zeros((len(by_task), len(FIGURES) + len(TASK_FIGURES)))
    counts = np.zeros_like(sums)
    for row, judged in enumerate(by_task.values()):
        for column, figure in enumerate(FIGURES):
            values = [value for pair in judged if (value := figure.measure(*pair)) is not None]
            sums[row, column], counts[row, column] = sum(values), len(values)
        distinct = len({sample.completion for sample, _ in judged})
        sums[row, -2:] = any(scored.passed for _, scored in judged), distinct
        counts[row, -2:] = 1, len(judged)
    return sums, counts


def estimate(
    samples: Sequence[Sample], *, seed: int = 0, resamples: int = 2000, confidence: float = 0.95
) -> dict[str, Estimate]:
    """Every figure over these samples, with intervals that hold for new tasks of the same kind.

    Shares measured once a task, and shares at exactly 0 or 1, get Wilson's interval over tasks; everything else the
    bootstrap over tasks.
    """
    sums, counts = tables(samples)
    intervals = ratio_intervals(sums, counts, seed=seed, resamples=resamples, confidence=confidence)
    named = [(figure.name, figure.is_share) for figure in FIGURES] + [(name, True) for name in TASK_FIGURES]
    estimates: dict[str, Estimate] = {}
    for (name, is_share), total, count, interval, per_task in zip(
        named, sums.sum(0), counts.sum(0), intervals, counts.T, strict=True
    ):
        if interval is None:
            estimates[name] = Estimate(None, None, None, 0, None)
            continue
        value, tasks = float(total / count), int((per_task > 0).sum())
        if is_share and (value in (0.0, 1.0) or per_task.max() == 1):
            interval = wilson_interval(value * tasks, tasks, confidence)
        estimates[name] = Estimate(value, interval.low, interval.high, int(count), interval.method)
    return estimates
