"""A report's figures as JSON and as Markdown, and the sentences that page, file and terminal share. Pure."""

from __future__ import annotations

from typing import Any

from services.report.evaluation.results import Results, Side
from services.report.numbers import TITLES, difference_of, interval_of, p_value, percent, value_of
from trainer.evaluation.compare import Standing
from trainer.evaluation.evaluation import Group
from trainer.tasks.task import Split

SCHEMA = 1
"""Raised when a key changes its meaning."""
HASH_SHOWN = 16
"""Characters of a hash that people compare; report.json has all."""
RATES = ("parse_rate", "compile_rate", "pass_rate", "reward")
SPLIT_TITLES = {
    Split.TRAIN: "tasks trained on",
    Split.UNSEEN_TASKS: "unseen tasks",
    Split.UNSEEN_FAMILIES: "unseen families",
    Split.VALIDATION: "validation families",
    Split.BENCHMARK: "benchmark",
}


TASKS_OF = {
    Split.TRAIN: "tasks trained on",
    Split.UNSEEN_TASKS: "unseen tasks",
    Split.UNSEEN_FAMILIES: "tasks of unseen families",
    Split.VALIDATION: "tasks of validation families",
    Split.BENCHMARK: "benchmark tasks",
}
"""As a sentence counts them."""


def figure_names(group: Group) -> list[str]:
    """The rates, then what has a k, in order."""
    at_k = [name for name in group.figures if "@" in name]
    return [*RATES, *(name for name in ("lenient_compile_rate", "lenient_pass_rate") if name in group.figures), *at_k]


def title_of(figure: str) -> str:
    """A figure's name in words."""
    return TITLES.get(figure, figure.replace("_", " "))


def headline(results: Results) -> str:
    """The result in one sentence."""
    split = results.splits[0]
    where, side = TASKS_OF[split], results.last
    group = side.group(split)
    assert group is not None  # a split of `splits` was measured
    compiles, passes = group.figures["compile_rate"], group.figures["pass_rate"]
    if results.before is None:
        return (
            f"{side.title}: {value_of('compile_rate', compiles.value)} of its answers compile "
            f"{interval_of('compile_rate', compiles)} and {value_of('pass_rate', passes.value)} pass every hidden test "
            f"{interval_of('pass_rate', passes)}, on {group.tasks} {where}."
        )
    told = []
    for figure, verb in (("compile_rate", "compile"), ("pass_rate", "pass every hidden test")):
        if (comparison := results.paired(split, figure)) is not None:
            found = comparison.difference
            told.append(
                f"{percent(found.after)} {verb}, {difference_of(figure, found.difference)} "
                f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}] from {percent(found.before)} "
                f"({p_value(found.p_value)})"
            )
    pairs = tasks_in(results, split)
    return f"{side.title} beside {results.before.title}, on {pairs} {where}: {'; '.join(told)}."


def tasks_in(results: Results, split: Split) -> int:
    """Tasks that a split's figures are about; with two sides, those that both have."""
    comparison, group = results.paired(split, "pass_rate"), results.last.group(split)
    return comparison.difference.pairs if comparison else group.tasks if group else 0


def moved(results: Results) -> str | None:
    """Tasks fixed and broken, with McNemar's test, in a sentence; None with one side."""
    if results.before is None:
        return None
    fixed, broken, p = results.mcnemar()
    return (
        f"By the one likeliest answer to each, of {len(results.untrained)} tasks that were not trained on {fixed} are "
        f"fixed and {broken} broken ({p_value(p)}, McNemar's exact test); the rates are over all sampled answers."
    )


def summary_json(results: Results) -> dict[str, Any]:
    """The report's figures; each side's whole result stands in its own file."""
    fixed, broken, p = results.mcnemar() if results.before else (0, 0, 1.0)
    return {
        "schema_version": SCHEMA,
        "headline": headline(results),
        "cautions": results.cautions,
        "sides": [_side(results, side) for side in results.sides],
        "comparisons": [
            {"figure": c.figure, "split": c.split.value, "mode": c.mode.value}
            | {name: getattr(c.difference, name) for name in c.difference.__slots__}
            for c in results.comparisons
        ],
        "mcnemar": {"fixed": fixed, "broken": broken, "p_value": p} if results.before else None,
        "standings": {
            standing.value: sorted(task for task, found in results.standings.items() if found is standing)
            for standing in Standing
            if results.before
        },
    }


def markdown(results: Results) -> str:
    """The same for a pull request or a mail."""
    lines = [f"# {headline(results)}", ""]
    if (said := moved(results)) is not None:
        lines += [said, ""]
    lines += [f"> {caution}" for caution in results.cautions]
    for split in results.splits:
        groups = [(side, group) for side in results.sides if (group := side.group(split))]
        names = figure_names(groups[-1][1])
        lines += ["", f"## {SPLIT_TITLES[split].capitalize()} ({tasks_in(results, split)} tasks)", ""]
        titles = [side.title for side, _ in groups]
        lines += [f"| | {' | '.join(titles)} |{' difference |' if results.before else ''}"]
        lines += ["|" + "---|" * (1 + len(groups) + bool(results.before))]
        for name in names:
            cells = [_cell(name, group) for _, group in groups]
            if results.before:
                cells.append(difference(results, split, name))
            lines.append(f"| {title_of(name)} | {' | '.join(cells)} |")
    lines += ["", "## Criteria", "", "| criterion | wanted | measured | |", "|---|---|---|---|"]
    for finding in results.last.findings:
        status, title, wanted, measured = criterion_row(finding)
        lines.append(f"| {title} | {wanted} | {measured} | {status} |")
    for side in results.sides:
        lines += ["", f"## How {side.title} was measured", ""]
        lines += [f"- {name}: `{value}`" for name, value in facts(side).items()]
    return "\n".join(lines) + "\n"


def difference(results: Results, split: Split, figure: str) -> str:
    """The paired difference with its interval and p-value; empty where the figure has none."""
    comparison = results.paired(split, figure)
    if comparison is None:
        return ""
    found = comparison.difference
    return f"{difference_of(figure, found.difference)}, {p_value(found.p_value)}"


def criterion_row(finding: Any) -> tuple[str, str, str, str]:
    """Met or not, the criterion, the bound, what was measured."""
    from trainer.evaluation.criteria import shown

    criterion = finding.criterion
    measured = "" if finding.value is None else shown(criterion.figure, finding.value)
    status = "not measured" if finding.value is None else "met" if finding.met else "not met"
    return (status, criterion.title, criterion.wanted, measured)


def facts(side: Side) -> dict[str, str]:
    """What a result was measured with."""
    evaluation = side.evaluation
    settings = evaluation.settings
    identity = {
        f"{name.replace('_sha256', '')} hash": value[:HASH_SHOWN]
        for name, value in evaluation.identity.items()
        if name not in ("judge", "seed")
    }
    return {
        "model": evaluation.checkpoint,
        "judge": evaluation.judged_by.partition(", RewardWeights")[0],
        "seed": str(settings.seed),
        "command": evaluation.command,
        "prompts": evaluation.prompts or "code to go on with",
        "sampling": f"{settings.samples_per_task} at temperature {settings.temperature}"
        + (", and the likeliest" if settings.greedy else ""),
        "longest answer": f"{settings.max_tokens} tokens",
        "wall time": f"{evaluation.seconds:.0f} s, {evaluation.reused_samples} answers taken over",
        "not judged": str(sum(evaluation.faults.values())),
        **{name: value for name, value in identity.items() if value},
    }


def _side(results: Results, side: Side) -> dict[str, Any]:
    return {
        "label": side.title,
        "identity": side.evaluation.identity,
        "splits": {
            split.value: {
                name: {"value": e.value, "low": e.low, "high": e.high, "count": e.count}
                for name, e in group.figures.items()
            }
            for split in results.splits
            if (group := side.group(split))
        },
        "criteria": [
            {"title": f.criterion.title, "wanted": f.criterion.wanted, "measured": f.value, "met": f.met}
            for f in side.findings
        ],
    }


def _cell(figure: str, group: Group) -> str:
    estimate = group.figures.get(figure)
    if estimate is None or estimate.value is None:
        return "–"
    return f"{value_of(figure, estimate.value)} {interval_of(figure, estimate)}"
