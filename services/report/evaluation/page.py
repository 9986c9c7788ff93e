"""The page of an evaluation: figures drawn here, tasks browsed by the page's script. One file, which loads nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from reward_farm.verdict import SyntaxMetrics
from services.report.chart import Bar, Part, intervals, paired_bars, stack
from services.report.evaluation.results import Results, Side
from services.report.evaluation.summary import (
    SPLIT_TITLES,
    criterion_row,
    difference,
    facts,
    figure_names,
    headline,
    moved,
    tasks_in,
    title_of,
)
from services.report.evaluation.tasks_data import tasks_json
from services.report.markup import Markup, join, tag
from services.report.numbers import interval_of, percent, value_of
from services.report.outcomes import CODE_TITLES, STAGES
from services.report.report import STYLE
from trainer.evaluation.evaluation import Group
from trainer.tasks.task import Split

HERE = Path(__file__).parent
CODES_SHOWN = 12
LINTS_SHOWN = 8
MOST_TITLE = 16
"""Characters of a title that charts have room for."""
PICTURED = ("parse_rate", "compile_rate", "pass_rate")

DISTRIBUTIONS: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = (
    ("complexity", (("1", 1), ("up to 2", 2), ("up to 4", 4), ("up to 8", 8), ("more", float("inf")))),
    ("lines", (("up to 3", 3), ("up to 6", 6), ("up to 12", 12), ("up to 25", 25), ("more", float("inf")))),
    ("panics", (("none", 0), ("1", 1), ("2", 2), ("3", 3), ("more", float("inf")))),
)
"""Figures of code that compiles, and the upper bounds of their classes: a mean would hide that all is of one style."""
CLASS_COLORS = ("passed", "supervised", "failed", "uncompiled", "unparsed")


def render(results: Results) -> str:
    """The page."""
    said = moved(results)
    sections = join(
        _section("Rates", _rates(results)),
        _section("Success criteria", _criteria(results)),
        _section("How far answers come", _funnel(results)),
        _section("Which errors rustc gives", _codes(results)),
        _section("How the code reads", _style(results)),
        _section("Worth a look", _watch(results)),
        _section("By family", _families(results)),
        _section("Time", _latency(results)),
    )
    body = join(
        tag("p", "Ferrotype · evaluation", class_="eyebrow"),
        tag("h1", headline(results)),
        said and tag("p", said, class_="lead"),
        tag("p", " · ".join(_identity(results.last)), class_="faint"),
        [tag("p", f"{caution[0].upper()}{caution[1:]}.", class_="missing") for caution in results.cautions],
        _legend(results) if results.before else None,
        sections,
    )
    measured = _section("How this was measured", _measured(results))
    return Template((HERE / "page.html").read_text()).substitute(
        title=escape(f"Evaluation: {results.last.title}"),
        style=STYLE.read_text() + (HERE / "page.css").read_text(),
        body=body,
        measured=measured,
        written=time.strftime("%Y-%m-%d %H:%M"),
        data=tasks_json(results),
        script=(HERE / "browser.js").read_text(),
    )


def _identity(side: Side) -> list[str]:
    """What a reader asks first about a result; the whole of it stands at the page's end."""
    told = facts(side)
    return [told["model"], told["judge"], f"benchmark {told['benchmark hash'][:8]}", f"seed {told['seed']}"]


def _section(title: str, content: Markup | None) -> Markup | None:
    return tag("section", tag("h2", title), content) if content else None


def _key(side: Side) -> Markup:
    return tag("span", tag("i", "", class_="dot", style=f"background:var(--{side.color})"), side.title, class_="key")


def _legend(results: Results) -> Markup:
    return tag("p", [_key(side) for side in results.sides], class_="legend")


def _criteria(results: Results) -> Markup:
    head = ["criterion", "wanted", *(side.title for side in results.sides)]
    rows = []
    for found in zip(*(side.findings for side in results.sides), strict=True):
        cells = []
        for finding in found:
            status, title, wanted, measured = criterion_row(finding)
            color = {"met": "passed", "not met": "lost"}.get(status, "both-fail")
            cells.append(tag("td", measured, " ", tag("span", status, class_=f"badge {color}"), class_="number"))
        rows.append(tag("tr", tag("th", title), tag("td", wanted, class_="number"), cells))
    return _table(head, rows)


def _rates(results: Results) -> Markup:
    blocks = []
    for split in results.splits:
        groups = [(side, group) for side in results.sides if (group := side.group(split))]
        shown = groups[-1][1]
        pictured = [*PICTURED, *(name for name in shown.figures if "@" in name and not name.startswith("lenient"))]
        bars = [(title_of(name), _bars(name, groups)) for name in pictured]
        head = ["", *(side.title for side, _ in groups), *(["difference"] if results.before else [])]
        rows = []
        for name in figure_names(shown):
            cells = [_figure(name, group) for _, group in groups]
            if results.before:
                told, _, chance = difference(results, split, name).partition(", ")
                cells.append(tag("td", told or "–", tag("small", chance), class_="number"))
            rows.append(tag("tr", tag("th", title_of(name)), cells))
        spoken = f"{SPLIT_TITLES[split].capitalize()}: {tasks_in(results, split)} tasks, {shown.samples} answers"
        picture = tag("figure", tag("figcaption", spoken), intervals([b for b in bars if b[1]], limit=1.0))
        table = join(_table(head, rows), _verified(results, split))
        blocks.append(tag("div", picture, tag("div", table), class_="charts two"))
    return join(blocks)


def _bars(figure: str, groups: Sequence[tuple[Side, Group]]) -> list[Bar]:
    bars = []
    for side, group in groups:
        found = group.figures.get(figure)
        if found is not None and found.value is not None and found.low is not None and found.high is not None:
            title = side.title[:MOST_TITLE]
            bars.append(Bar(title, side.color, found.value, found.low, found.high, value_of(figure, found.value)))
    return bars


def _verified(results: Results, split: Split) -> Markup | None:
    """The rates over tasks that a known solution passes, where there are others."""
    told = [
        f"{side.title}: {value_of('pass_rate', group.verified['pass_rate'].value)} of {group.verified_tasks} tasks"
        for side in results.sides
        if (group := side.group(split)) and group.verified
    ]
    words = "Only on tasks that a known solution passes, answers pass: "
    return tag("p", words + "; ".join(told) + ".", class_="faint") if told else None


def _figure(name: str, group: Group) -> Markup:
    estimate = group.figures.get(name)
    if estimate is None or estimate.value is None:
        return tag("td", "–", class_="number")
    return tag("td", value_of(name, estimate.value), tag("small", interval_of(name, estimate)), class_="number")


def _funnel(results: Results) -> Markup:
    drawn = []
    for split in results.splits:
        groups = [(side, group) for side in results.sides if (group := side.group(split))]
        steps = [step for step in groups[-1][1].funnel if step != "samples"]
        if steps:
            rows = [
                (
                    f"past {step}",
                    [
                        _share_bar(side, group.funnel.get(step, 0), group.funnel.get("samples", 0))
                        for side, group in groups
                    ],
                )
                for step in steps
            ]
        else:  # results from before steps were counted
            rows = [
                (title, [_share_bar(side, _count(group, outcomes), group.samples) for side, group in groups])
                for title, _, outcomes in STAGES
            ]
        drawn.append(tag("figure", tag("figcaption", SPLIT_TITLES[split].capitalize()), paired_bars(rows)))
    return tag("div", drawn, class_="charts two")


def _count(group: Group, outcomes: Sequence[str]) -> int:
    return sum(group.outcomes.get(str(outcome), 0) for outcome in outcomes)


def _share_bar(side: Side, count: int, total: int) -> Bar:
    share = count / total if total else 0.0
    return Bar(f"{side.title}: {count} of {total}", side.color, share, share, share, f"{100 * share:.1f} %")


def _codes(results: Results) -> Markup | None:
    drawn = []
    for split in results.splits:
        groups = [(side, group) for side in results.sides if (group := side.group(split)) and group.samples]
        totals: dict[str, float] = {}
        for _, group in groups:
            for code, count in group.error_codes.items():
                totals[code] = totals.get(code, 0.0) + count / group.samples
        rows = [
            (
                f"{code} {CODE_TITLES.get(code, '')}".replace("none ", ""),
                [_share_bar(side, group.error_codes.get(code, 0), group.samples) for side, group in groups],
            )
            for code in sorted(totals, key=lambda code: -totals[code])[:CODES_SHOWN]
        ]
        if rows:
            caption = tag("figcaption", f"Answers with this error, {SPLIT_TITLES[split]}")
            drawn.append(tag("figure", caption, paired_bars(rows)))
    return tag("div", drawn, class_="charts two") if drawn else None


STYLE_FIGURES = (
    "iterator_rate", "result_option_rate", "error_handling_rate", "documented_rate", "complexity", "panics",
    "clippy_per_100_lines", "completion_tokens", "truncated_rate", "distinct_share",
)  # fmt: skip


def _style(results: Results) -> Markup:
    split = results.splits[0]
    groups = [(side, group) for side in results.sides if (group := side.group(split))]
    rows = [
        tag("tr", tag("th", title_of(name)), [_figure(name, group) for _, group in groups])
        for name in STYLE_FIGURES
        if any((e := group.figures.get(name)) and e.value is not None for _, group in groups)
    ]
    head = [f"on {SPLIT_TITLES[split]}, code that compiles", *(side.title for side, _ in groups)]
    charts = [_distribution(results, name, classes) for name, classes in DISTRIBUTIONS]
    return join(_table(head, rows), tag("div", [chart for chart in charts if chart], class_="charts"))


def _distribution(results: Results, name: str, classes: Sequence[tuple[str, float]]) -> Markup | None:
    rows = []
    for side in results.sides:
        values = [
            _metric(name, scored.metrics)
            for sample in side.samples
            if (scored := sample.scored) and scored.compiled and scored.metrics
        ]
        if not values:
            continue
        counts = [0] * len(classes)
        for value in values:
            counts[next(place for place, (_, bound) in enumerate(classes) if value <= bound)] += 1
        parts = [
            Part(f"{name} {title}", color, count / len(values), f"{count} of {len(values)}")
            for (title, _), color, count in zip(classes, CLASS_COLORS, counts, strict=True)
            if count
        ]
        rows.append((side.title[:MOST_TITLE], parts))
    if not rows:
        return None
    keys = [
        tag("span", tag("i", "", class_="dot", style=f"background:var(--{color})"), title, class_="key")
        for (title, _), color in zip(classes, CLASS_COLORS, strict=True)
    ]
    caption = tag("figcaption", f"{name.capitalize()} of an answer, in %", tag("div", keys, class_="legend"))
    return tag("figure", caption, stack(rows))


def _metric(name: str, metrics: SyntaxMetrics) -> float:
    if name == "complexity":
        return metrics.cyclomatic_complexity
    return float(metrics.lines if name == "lines" else metrics.panicking_calls)


def _watch(results: Results) -> Markup | None:
    """Suspicious answers and clippy's lints, counted over all splits but what was trained on."""
    tables = []
    for title, counts in (
        ("suspicious, by kind", [_summed(side, "cheats") for side in results.sides]),
        ("clippy's lints, commonest first", [_summed(side, "lints") for side in results.sides]),
    ):
        names = sorted(
            {name for each in counts for name in each}, key=lambda n: -sum(each.get(n, 0) for each in counts)
        )
        rows = [
            tag("tr", tag("th", name), [tag("td", each.get(name, 0), class_="number") for each in counts])
            for name in names
        ]
        if rows:
            tables.append(tag("div", _table([title, *(side.title for side in results.sides)], rows)))
    words = "Counted, not punished: a short right answer may look like a cheat. A rise is what to look at."
    return join(tag("p", words, class_="faint"), tag("div", tables, class_="charts two")) if tables else None


def _summed(side: Side, field: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for group in side.evaluation.groups:
        if group.family is None and group.split is not Split.TRAIN:
            for name, count in getattr(group, field).items():
                counts[name] = counts.get(name, 0) + count
    return counts


def _families(results: Results) -> Markup | None:
    last = results.last.evaluation
    rows = []
    for split in results.splits:
        shown = results.last.group(split)
        families = [g for g in last.groups if shown and g.family and (g.split, g.mode) == (split, shown.mode)]
        if len(families) < 2:
            continue
        rows.append(tag("tr", tag("th", SPLIT_TITLES[split], colspan=2 + 2 * len(results.sides)), class_="group"))
        for group in sorted(families, key=lambda g: g.figures["pass_rate"].value or 0.0):
            found = [side.evaluation.group(split, group.mode, group.family) for side in results.sides]
            cells = [
                tag("td", value_of(name, each.figures[name].value) if each else "–", class_="number")
                for name in ("compile_rate", "pass_rate")
                for each in found
            ]
            rows.append(tag("tr", tag("th", group.family or ""), tag("td", group.tasks, class_="number"), cells))
    if not rows:
        return None
    head = ["family", "tasks"]
    for figure in ("compile", "pass"):
        head += [f"{figure}: {side.title}" if results.before else figure for side in results.sides]
    return tag("details", tag("summary", "every family, weakest first"), _table(head, rows))


def _latency(results: Results) -> Markup | None:
    rows = [
        tag(
            "tr",
            tag("th", f"{side.title}, {words}"),
            [tag("td", f"{value:.0f} ms", class_="number") for value in (found.mean_ms, found.p50_ms, found.p95_ms)],
            tag("td", found.count, class_="number"),
        )
        for side in results.sides
        for words, found in (
            ("one at a time", side.evaluation.latency),
            ("beside others", side.evaluation.loaded_latency),
        )
        if found is not None
    ]
    return _table(["a generation", "mean", "middle", "95 % below", "measured"], rows) if rows else None


def _measured(results: Results) -> Markup:
    every = [facts(side) for side in results.sides]
    rows = [
        tag("tr", tag("th", name), [tag("td", each.get(name, "")) for each in every])
        for name in dict.fromkeys(name for each in every for name in each)
    ]
    level = percent(results.last.evaluation.settings.confidence)
    words = (
        f"Every answer was compiled and run in the sandbox. Intervals hold {level} of the time for new tasks of "
        "the same kind: the bootstrap over tasks, or Wilson's. Differences are paired by task; their p-values are "
        "sign-flip tests."
    )
    table = _table(["", *(side.title for side in results.sides)], rows)
    return join(tag("p", words, class_="faint"), tag("div", table, class_="hashes"))


def _table(head: Sequence[str], rows: Sequence[Markup]) -> Markup:
    titles = tag("tr", tag("th", head[0]), [tag("th", title, class_="number") for title in head[1:]])
    return tag("div", tag("table", tag("thead", titles), tag("tbody", list(rows))), class_="wide")
