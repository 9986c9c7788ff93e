"""An evaluation as lines for the terminal. Reads nothing, judges nothing."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.evaluation.criteria import Finding, shown
from trainer.evaluation.evaluation import Evaluation, Group
from trainer.evaluation.figures import Estimate
from trainer.evaluation.latency import Latency
from trainer.evaluation.sample import Mode

RATES = ("parse_rate", "compile_rate", "pass_rate", "lenient_compile_rate", "lenient_pass_rate")
MOST_CODES = 8


def lines(evaluation: Evaluation, findings: Sequence[Finding]) -> list[str]:
    """What a person wants to know first: rates by split, where candidates fail, the criteria."""
    confidence = f"{evaluation.settings.confidence:.0%}"
    told = [f"{evaluation.label}: {evaluation.checkpoint}", f"  {evaluation.prompts}; {confidence} intervals"]
    for group in evaluation.groups:
        if group.family is None:
            told += _group(group, evaluation)
    for title, latency in (
        ("one at a time", evaluation.latency),
        ("beside others", evaluation.loaded_latency),
    ):
        if latency is not None:
            told.append(f"  latency {title:<14}{_latency(latency)}")
    if evaluation.faults:
        told.append(f"  not judged, and in no figure: {evaluation.faults}")
    told.append("criteria:")
    return told + [f"  {finding.line}" for finding in findings]


def _group(group: Group, evaluation: Evaluation) -> list[str]:
    many = group.mode is Mode.SAMPLED
    told = [f"{group.split.value}, {group.mode.value}: {group.tasks} tasks, {group.samples} samples"]
    told += [_row(name.replace("_rate", "").replace("_", " "), name, group.figures) for name in RATES]
    if many:
        told += [_row(name.replace("_", " "), name, group.figures) for name in group.figures if "@" in name]
    if group.verified:
        told.append(f"  of the {group.verified_tasks} tasks that a known solution passes:")
        told += [
            f"  {_row(name.replace('_rate', '').replace('_', ' '), name, group.verified)}"
            for name in ("compile_rate", "pass_rate", "lenient_pass_rate")
        ]
    told.append("  funnel  " + " → ".join(f"{step} {count}" for step, count in group.funnel.items()))
    if group.error_codes:
        codes = list(group.error_codes.items())[:MOST_CODES]
        told.append("  errors  " + "  ".join(f"{code} {count}" for code, count in codes))
    if evaluation.settings.clippy:
        told.append(_row("clippy lints in 100 lines", "clippy_per_100_lines", group.figures))
    if group.cheats:
        told.append("  watch   " + ", ".join(f"{name} {count}" for name, count in group.cheats.items()))
    return [line for line in told if line]


def _row(title: str, name: str, figures: dict[str, Estimate]) -> str:
    figure = figures.get(name)
    if figure is None or figure.value is None or figure.low is None or figure.high is None:
        return ""
    return f"  {title:<26}{shown(name, figure.value):>7} [{shown(name, figure.low)}, {shown(name, figure.high)}]"


def _latency(latency: Latency) -> str:
    return (
        f"mean {latency.mean_ms:.0f} ms, p50 {latency.p50_ms:.0f}, p95 {latency.p95_ms:.0f} "
        f"({latency.count} generations)"
    )
