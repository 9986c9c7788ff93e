"""Success criteria: which there are (a TOML file), and whether an evaluation meets them. Pure but for the file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.evaluation import Evaluation
from trainer.evaluation.figures import CLIPPY_FIGURE, FIGURES, K_FIGURES, LENIENT_FIGURES, TASK_FIGURES
from trainer.tasks.task import Split

_SHARES = {figure.name for figure in FIGURES + LENIENT_FIGURES if figure.is_share} | set(TASK_FIGURES)
_OTHERS = {figure.name for figure in FIGURES} | {CLIPPY_FIGURE.name, "latency_ms", "model_megabytes"}


class Criterion(BaseModel):
    """A figure and the bound that it must keep. Exactly one bound is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    figure: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    split: Split | None = None
    """Of this split's sampled completions; else of all that are not of the training split."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Criterion:
        if sum(bound is not None for bound in (self.at_least, self.above, self.at_most, self.below)) != 1:
            raise ValueError(f"{self.title}: give one of at_least, above, at_most and below")
        if self.figure not in _SHARES | _OTHERS and self.figure.split("@")[0] not in K_FIGURES:
            raise ValueError(f"{self.title}: there is no figure {self.figure!r}. There are: {_all_names()}")
        return self

    @property
    def wanted(self) -> str:
        """The bound in words."""
        for sign, bound in (("≥", self.at_least), (">", self.above), ("≤", self.at_most), ("<", self.below)):
            if bound is not None:
                return f"{sign} {shown(self.figure, bound)}"
        raise AssertionError("a criterion has a bound")

    def meets(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """A criterion beside what was measured; `value` is None where nothing was."""

    criterion: Criterion
    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def met(self) -> bool:
        """It was measured, and keeps the bound. What was not measured is not shown to be met."""
        return self.value is not None and self.criterion.meets(self.value)

    @property
    def line(self) -> str:
        """A line of the table: met or not, the bound, the figure with its interval."""
        figure = self.criterion.figure
        if self.value is None:
            measured = "not measured"
        else:
            measured = shown(figure, self.value)
            if self.low is not None and self.high is not None:
                measured += f" [{shown(figure, self.low)}, {shown(figure, self.high)}]"
        return f"{'met' if self.met else 'NOT MET':<8}{self.criterion.title:<39}{self.criterion.wanted:<9} {measured}"


def load_criteria(path: Path | None = None) -> tuple[Criterion, ...]:
    """The criteria in a file, or the package's own.

    Raises:
        EvaluationError: it can't be read, or asks for what there isn't.
    """
    name = str(path) if path else "criteria.toml"
    try:
        text = path.read_text() if path else (resources.files("trainer.evaluation") / "criteria.toml").read_text()
        return _Criteria.model_validate(tomllib.loads(text)).criterion
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise EvaluationError(f"{name}: {where}: {first['msg'].removeprefix('Value error, ')}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EvaluationError(f"{name} can't be read as criteria: {error}") from error


def findings(evaluation: Evaluation, criteria: Sequence[Criterion]) -> list[Finding]:
    """Each criterion beside its figure."""
    return [_finding(evaluation, criterion) for criterion in criteria]


def shown(figure: str, value: float) -> str:
    """A value as people read it."""
    if figure in _SHARES or "@" in figure:
        return f"{value:.1%}"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _finding(evaluation: Evaluation, criterion: Criterion) -> Finding:
    if criterion.figure == "latency_ms":
        return Finding(criterion, evaluation.latency.mean_ms if evaluation.latency else None)
    if criterion.figure == "model_megabytes":
        return Finding(criterion, evaluation.model.bytes / 1e6 if evaluation.model.bytes is not None else None)
    group = evaluation.group(criterion.split) if criterion.split else None
    figures = (group.figures if group else {}) if criterion.split else evaluation.overall
    estimate = figures.get(criterion.figure)
    return Finding(criterion, estimate.value, estimate.low, estimate.high) if estimate else Finding(criterion, None)


def _all_names() -> str:
    return ", ".join([*sorted(_SHARES | _OTHERS), *(f"{name}@K" for name in K_FIGURES)])


class _Criteria(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    criterion: tuple[Criterion, ...]
