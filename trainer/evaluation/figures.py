"""What is measured of a completion, figure by figure, and how figures are summed up to a rate with its interval.

Pure functions over samples. A sample whose verdict is a fault of the farm is in no figure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from reward_farm.verdict import Scored, SyntaxMetrics
from trainer.evaluation.pass_at_k import pass_at_k, verified_at_k
from trainer.evaluation.sample import Extraction, Sample
from trainer.evaluation.statistics import ratio_intervals, wilson_interval


@dataclass(frozen=True, slots=True)
class Figure:
    """A named measurement of one sample. `measure` gives None where it does not apply."""

    name: str
    title: str
    is_share: bool
    measure: Callable[[Sample, Scored], float | None]
    weight: Callable[[Sample, Scored], float] = lambda *_: 1.0
    """What the measurement is a part of, such as lines; the figure is the sum of the parts by the sum of the wholes."""


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


def _handles_errors(metrics: SyntaxMetrics) -> float | None:
    """Of functions that can fail, those that say so in their type and don't panic."""
    if not metrics.fallible_functions and not metrics.returns_result_or_option and not metrics.panicking_calls:
        return None
    return metrics.panicking_calls == 0


FIGURES = (
    Figure("parse_rate", "parses", True, lambda _, scored: scored.parsed),
    Figure("compile_rate", "compiles", True, lambda _, scored: scored.compiled),
    Figure("pass_rate", "passes all tests", True, lambda _, scored: scored.passed),
    Figure("reward", "mean reward (of 30)", False, lambda _, scored: scored.reward.total),
    Figure("iterator_rate", "uses iterators or closures", True, _of_compiled(lambda m: m.uses_iterators_or_closures)),
    Figure("result_option_rate", "returns Result or Option", True, _of_compiled(lambda m: m.returns_result_or_option)),
    Figure("error_handling_rate", "errors handled, where there can be any", True, _of_compiled(_handles_errors)),
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

LENIENT_FIGURES = (
    Figure("lenient_parse_rate", "parses, lenient", True, lambda sample, _: _of_lenient(sample, lambda v: v.parsed)),
    Figure(
        "lenient_compile_rate", "compiles, lenient", True, lambda sample, _: _of_lenient(sample, lambda v: v.compiled)
    ),
    Figure(
        "lenient_pass_rate",
        "passes all tests, lenient",
        True,
        lambda sample, _: _of_lenient(sample, lambda v: v.passed),
    ),
)
"""The same of the lenient extraction, where answers were taken apart."""

CLIPPY_FIGURE = Figure(
    "clippy_per_100_lines",
    "clippy lints in 100 lines",
    False,
    lambda _, scored: (
        100.0 * sum(d.is_lint for d in scored.diagnostics) if scored.compiled and scored.metrics else None
    ),
    lambda _, scored: float(scored.metrics.lines) if scored.metrics else 0.0,
)
"""Where the judge lints. Of code that compiles."""

TASK_FIGURES = {
    "solved_rate": "tasks solved by any sample",
    "distinct_share": "distinct completions",
}
"""Measured task by task: pass@n with n the samples of a task, and how many of them differ."""

K_FIGURES = ("pass", "compile", "verified", "lenient_pass", "lenient_compile")
"""Measured task by task, for each k: `pass@5` and so on (`trainer.evaluation.pass_at_k`)."""


def _of_lenient(sample: Sample, measure: Callable[[Scored], bool]) -> float | None:
    return None if sample.lenient is None else measure(sample.lenient)


Judged: TypeAlias = tuple[Sample, Scored]


@dataclass(frozen=True, slots=True)
class _Column:
    """A figure as sums and counts by task. `rate` is one whose samples are each right or wrong."""

    name: str
    rate: bool
    share: bool
    of_task: Callable[[Sequence[Judged]], tuple[float, float]]


def _columns(judged: Sequence[Judged], ks: Sequence[int], clippy: bool) -> list[_Column]:
    """What can be measured on these samples."""
    extracted = any(sample.extraction is not Extraction.WHOLE for sample, _ in judged)
    figures = FIGURES + (LENIENT_FIGURES if extracted else ()) + ((CLIPPY_FIGURE,) if clippy else ())
    columns = [_Column(figure.name, figure.is_share, figure.is_share, partial(_sum, figure)) for figure in figures]
    columns += [
        _Column("solved_rate", True, True, lambda group: (float(any(s.passed for _, s in group)), 1.0)),
        _Column("distinct_share", True, True, lambda group: (len({s.completion for s, _ in group}), len(group))),
    ]
    names = [name for name in K_FIGURES if extracted or not name.startswith("lenient")]
    columns += [_Column(f"{name}@{k}", False, True, partial(_at_k, name, k)) for k in ks for name in names]
    return columns


def _sum(figure: Figure, group: Sequence[Judged]) -> tuple[float, float]:
    values = [(value, figure.weight(*pair)) for pair in group if (value := figure.measure(*pair)) is not None]
    return sum(value for value, _ in values), sum(weight for _, weight in values)


def _at_k(name: str, k: int, group: Sequence[Judged]) -> tuple[float, float]:
    """Not measured on a task with fewer samples than k."""
    if len(group) < k:
        return 0.0, 0.0
    verdicts = [sample.lenient or scored if name.startswith("lenient") else scored for sample, scored in group]
    compiling, passing = sum(v.compiled for v in verdicts), sum(v.passed for v in verdicts)
    if name == "verified":
        return verified_at_k(len(verdicts), compiling, passing, k), 1.0
    return pass_at_k(len(verdicts), passing if name.endswith("pass") else compiling, k), 1.0


class Table:
    """Each figure of each task as a sum and a count, measured once; groups of tasks are summed up from it."""

    def __init__(self, samples: Iterable[Sample], ks: Sequence[int] = (), clippy: bool = False) -> None:
        by_task: dict[str, list[Judged]] = defaultdict(list)
        for sample in samples:
            if sample.scored is not None:
                by_task[sample.task].append((sample, sample.scored))
        groups = list(by_task.values())
        most = max(map(len, groups), default=0)
        self._rows = {task: row for row, task in enumerate(by_task)}
        self._columns = _columns([pair for group in groups for pair in group], [k for k in ks if k <= most], clippy)
        cells = [[column.of_task(group) for column in self._columns] for group in groups]
        self._cells = np.array(cells, dtype=float).reshape(-1, len(self._columns), 2)

    def estimate(
        self,
        tasks: Collection[str] | None = None,
        *,
        seed: int = 0,
        resamples: int = 2000,
        confidence: float = 0.95,
    ) -> dict[str, Estimate]:
        """Every figure over these tasks (else all), with intervals that hold for new tasks of the same kind.

        Shares measured once a task, and shares at exactly 0 or 1, get Wilson's interval over tasks; everything else the
        bootstrap over tasks. Figures of a k that no task has samples for are left out.
        """
        rows = [row for task, row in self._rows.items() if tasks is None or task in tasks]
        sums, counts = self._cells[rows, :, 0], self._cells[rows, :, 1]
        intervals = ratio_intervals(sums, counts, seed=seed, resamples=resamples, confidence=confidence)
        estimates: dict[str, Estimate] = {}
        for column, total, count, interval, per_task in zip(
            self._columns, sums.sum(0), counts.sum(0), intervals, counts.T, strict=True
        ):
            if interval is None:
                if "@" not in column.name:
                    estimates[column.name] = Estimate(None, None, None, 0, None)
                continue
            value, measured = float(total / count), int((per_task > 0).sum())
            if (column.share and value in (0.0, 1.0)) or (column.rate and per_task.max() == 1):
                interval = wilson_interval(value * measured, measured, confidence)
            estimates[column.name] = Estimate(value, interval.low, interval.high, int(count), interval.method)
        return estimates


def estimate(
    samples: Iterable[Sample],
    *,
    seed: int = 0,
    resamples: int = 2000,
    confidence: float = 0.95,
    ks: Sequence[int] = (),
    clippy: bool = False,
) -> dict[str, Estimate]:
    """Every figure over these samples, as `Table.estimate` says."""
    return Table(samples, ks, clippy).estimate(seed=seed, resamples=resamples, confidence=confidence)
