"""The result: tiles, the table of checkpoints with intervals, their picture, and the paired tests."""

from __future__ import annotations

from services.report.chart import Bar, intervals
from services.report.markup import Markup, join, tag
from services.report.numbers import TITLES, difference_of, interval_of, p_value, percent, size, value_of
from services.report.record import SPLIT_TITLES, Arm, RunRecord
from trainer.evaluation.evaluation import Group
from trainer.evaluation.sample import Mode
from trainer.tasks.task import Split

MAIN = ("parse_rate", "compile_rate", "pass_rate", "solved_rate", "reward")
STYLE = (
    "iterator_rate", "result_option_rate", "documented_rate", "panics", "complexity", "completion_tokens",
    "truncated_rate", "distinct_share", "cheat_rate",
)  # fmt: skip
SHOWN_SPLITS = (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES, Split.TRAIN)


def tiles(record: RunRecord) -> Markup | None:
    """The figures to remember: before and after on unseen tasks, and the file that came out."""
    drawn = []
    compared = record.compare("supervised", "rl", Split.UNSEEN_TASKS)
    for figure, comparison in compared.items():
        if figure == "parse_rate":
            continue
        found = comparison.difference
        change = f"{difference_of(figure, found.difference)}, {p_value(found.p_value)}"
        detail = f"from {value_of(figure, found.before)}, {change}"
        drawn.append(_tile(TITLES[figure], value_of(figure, found.after), detail))
    export = record.phases.get("export")
    if export and "megabytes" in export.summary:
        detail = (
            f"{export.summary.get('type', 'GGUF')}, from {size(1e6 * export.summary.get('f16_megabytes', 0))} in F16"
        )
        drawn.append(_tile("model file", size(1e6 * export.summary["megabytes"]), detail))
    return tag("div", drawn, class_="tiles") if drawn else None


def _tile(title: str, value: str, detail: str) -> Markup:
    return tag(
        "div", tag("div", title, class_="name"), tag("div", value, class_="value"), tag("div", detail, class_="detail"),
        class_="tile",
    )  # fmt: skip


def table(record: RunRecord, figures: tuple[str, ...], splits: tuple[Split, ...] = SHOWN_SPLITS) -> Markup:
    """Rows: split and checkpoint. Columns: figures, each with its interval."""
    head = tag("tr", tag("th", "checkpoint"), [tag("th", TITLES[figure], class_="number") for figure in figures])
    bodies = []
    for split in splits:
        groups = [(arm, group) for arm in record.arms if (group := record.evaluations[arm.label].group(split))]
        if not groups:
            continue
        spoken = f"{SPLIT_TITLES[split]}: {groups[0][1].tasks} tasks, {groups[0][1].samples} completions each"
        rows = [tag("tr", tag("th", spoken, colspan=len(figures) + 1), class_="group")]
        rows += [_row(arm, group, figures) for arm, group in groups]
        bodies.append(tag("tbody", rows))
    return tag("div", tag("table", tag("thead", head), bodies), class_="wide")


def _row(arm: Arm, group: Group, figures: tuple[str, ...]) -> Markup:
    cells = [
        tag(
            "td",
            value_of(figure, group.figures[figure].value),
            tag("small", interval_of(figure, group.figures[figure])),
            class_="number",
        )
        for figure in figures
    ]
    return tag("tr", tag("th", key(arm)), cells)


def key(arm: Arm) -> Markup:
    """A checkpoint's title with its colour."""
    return join(tag("i", "", class_="dot", style=f"background:var(--{arm.color})"), arm.title)


def picture(record: RunRecord) -> Markup:
    """The three figures that matter as points with whiskers, one chart a split."""
    drawn = []
    for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES):
        groups = [(arm, group) for arm in record.arms if (group := record.evaluations[arm.label].group(split))]
        if groups:
            blocks = [(TITLES[name], [_bar(arm, group, name) for arm, group in groups]) for name in MAIN[1:3]]
            chart = intervals(blocks, limit=1.0)
            drawn.append(tag("figure", tag("figcaption", SPLIT_TITLES[split].capitalize()), chart))
    return tag("div", drawn, class_="charts")


def _bar(arm: Arm, group: Group, figure: str) -> Bar:
    found = group.figures[figure]
    value = found.value or 0.0
    text = f"{percent(value)} {interval_of(figure, found)}"
    return Bar(arm.title, arm.color, value, found.low or 0.0, found.high or 0.0, text)


def families(record: RunRecord) -> Markup:
    """Compile rate and test-pass rate of each family on the unseen splits; a column a checkpoint."""
    rows = []
    for split in SHOWN_SPLITS[:2]:
        names = {
            g.family for found in record.evaluations.values() for g in found.groups if g.split is split and g.family
        }
        for name in sorted(names):
            groups = [record.evaluations[arm.label].group(split, family=name) for arm in record.arms]
            rates = [
                " / ".join(value_of(rate, group.figures[rate].value) for rate in MAIN[1:3]) if group else "–"
                for group in groups
            ]
            told = [tag("th", name), tag("td", SPLIT_TITLES[split]), tag("td", max(g.tasks for g in groups if g))]
            rows.append(tag("tr", told, [tag("td", rate, class_="number") for rate in rates]))
    head = [tag("th", text) for text in ("family", "split", "tasks")]
    head += [tag("th", f"{arm.title}: compiles / passes", class_="number") for arm in record.arms]
    return tag("div", tag("table", tag("thead", tag("tr", head)), tag("tbody", rows)), class_="wide")


def tests(record: RunRecord) -> Markup:
    """Every paired comparison."""
    pairs = (("base", "supervised"), ("supervised", "rl"), ("control", "rl"))
    titles = {arm.label: arm.title for arm in record.arms}
    rows = []
    for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES):
        for before, after in pairs:
            for mode in (Mode.SAMPLED, Mode.GREEDY):
                for figure, comparison in record.compare(before, after, split, mode).items():
                    found = comparison.difference
                    scale, digits = (1, 2) if figure == "reward" else (100, 1)
                    bounds = f"[{scale * found.low:+.{digits}f}, {scale * found.high:+.{digits}f}]"
                    rows.append(
                        tag(
                            "tr",
                            [tag("td", text) for text in (SPLIT_TITLES[split], f"{titles[before]} → {titles[after]}")],
                            [tag("td", text) for text in (mode.value, TITLES[figure])],
                            tag(
                                "td",
                                f"{value_of(figure, found.before)} → {value_of(figure, found.after)}",
                                class_="number",
                            ),
                            tag("td", difference_of(figure, found.difference), tag("small", bounds), class_="number"),
                            tag("td", p_value(found.p_value), class_="number"),
                        )
                    )
    head = [tag("th", text) for text in ("on", "compared", "decoding", "figure")]
    head += [tag("th", text, class_="number") for text in ("before → after", "difference", "p")]
    return tag("div", tag("table", tag("thead", tag("tr", head)), tag("tbody", rows)), class_="wide")
