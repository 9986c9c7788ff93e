"""Where completions end: the funnel from text to passing tests, and which errors rustc gives before and after RL."""

from __future__ import annotations

from reward_farm.verdict import Outcome
from services.report.chart import Bar, Part, paired_bars, stack
from services.report.markup import Markup, tag
from services.report.record import SPLIT_TITLES, Arm, RunRecord
from trainer.evaluation.evaluation import Group
from trainer.tasks.task import Split

STAGES: tuple[tuple[str, str, tuple[Outcome, ...]], ...] = (
    ("passes every test", "passed", (Outcome.PASSED,)),
    (
        "compiles, fails tests",
        "failed",
        (
            Outcome.TEST_FAILED,
            Outcome.TEST_CRASH,
            Outcome.TEST_TIMEOUT,
            Outcome.OUTPUT_LIMIT,
            Outcome.LINK_FAILED,
        ),
    ),
    (
        "parses, does not compile",
        "uncompiled",
        (Outcome.COMPILE_ERROR, Outcome.COMPILER_CRASH, Outcome.COMPILE_TIMEOUT, Outcome.COMPILE_MEMORY),
    ),
    ("does not parse", "unparsed", (Outcome.PARSE_ERROR, Outcome.MISSING_ITEM)),
    ("rejected as a cheat", "rejected", (Outcome.REJECTED,)),
)
"""Title, colour and outcomes, from best to worst."""

CODES_SHOWN = 10

CODE_TITLES = {
    "E0308": "mismatched types",
    "E0277": "missing trait",
    "E0271": "associated type",
    "E0282": "type unknown",
    "E0317": "if without else",
    "E0369": "no such operator",
    "E0425": "unresolved name",
    "E0433": "unresolved path",
    "E0432": "unresolved import",
    "E0412": "unknown type",
    "E0599": "no such method",
    "E0600": "cannot negate",
    "E0604": "invalid cast",
    "E0605": "invalid cast",
    "E0606": "invalid cast",
    "E0608": "cannot index",
    "E0609": "no such field",
    "E0610": "no such field",
    "E0614": "cannot dereference",
    "E0061": "argument count",
    "E0106": "missing lifetime",
    "E0382": "use after move",
    "E0384": "assigned twice",
    "E0499": "two mutable borrows",
    "E0502": "borrowed as mutable too",
    "E0505": "moved while borrowed",
    "E0507": "moved out of borrow",
    "E0515": "returns a borrow",
    "E0594": "assigned though immutable",
    "E0596": "not mutable",
    "E0597": "does not live long enough",
    "E0716": "temporary dropped",
    "none": "no code (syntax, lifetimes)",
}
"""In fewer words than `rustc --explain`."""


def funnel(record: RunRecord) -> Markup:
    """One stacked bar a checkpoint, one chart a split."""
    drawn = []
    for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES):
        rows = [
            (arm.title, _parts(group))
            for arm in record.arms
            if (group := record.evaluations[arm.label].group(split)) and group.samples
        ]
        if rows:
            drawn.append(tag("figure", tag("figcaption", SPLIT_TITLES[split].capitalize(), _legend()), stack(rows)))
    return tag("div", drawn, class_="charts two")


def _parts(group: Group) -> list[Part]:
    parts = []
    for title, color, outcomes in STAGES:
        count = sum(group.outcomes.get(outcome.value, 0) for outcome in outcomes)
        parts.append(Part(title, color, count / group.samples, f"{count} of {group.samples}"))
    return [part for part in parts if part.share]


def _legend() -> Markup:
    keys = [
        tag("span", tag("i", "", class_="dot", style=f"background:var(--{color})"), title, class_="key")
        for title, color, _ in STAGES
    ]
    return tag("div", keys, class_="legend")


def error_shift(record: RunRecord) -> Markup | None:
    """The commonest error codes by checkpoint, one chart a split."""
    drawn = [_codes(record, split) for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES)]
    return tag("div", [chart for chart in drawn if chart], class_="charts two") if any(drawn) else None


def _codes(record: RunRecord, split: Split) -> Markup | None:
    shown: list[tuple[Arm, Group]] = [
        (arm, group)
        for arm in record.arms
        if arm.label in ("supervised", "rl", "control")
        and (group := record.evaluations[arm.label].group(split))
        and group.samples
    ]
    totals: dict[str, float] = {}
    for _, group in shown:
        for code, count in group.error_codes.items():
            totals[code] = totals.get(code, 0.0) + count / group.samples
    if not totals:
        return None
    rows = []
    for code in sorted(totals, key=lambda code: -totals[code])[:CODES_SHOWN]:
        bars = []
        for arm, group in shown:
            share = group.error_codes.get(code, 0) / group.samples
            bars.append(Bar(arm.title, arm.color, share, share, share, f"{100 * share:.1f} %"))
        rows.append((f"{code} {CODE_TITLES.get(code, '')}".replace("none ", ""), bars))
    keys = [
        tag("span", tag("i", "", class_="dot", style=f"background:var(--{arm.color})"), arm.title, class_="key")
        for arm, _ in shown
    ]
    caption = tag(
        "figcaption", f"Completions with this error, {SPLIT_TITLES[split]}", tag("div", keys, class_="legend")
    )
    return tag("figure", caption, paired_bars(rows))
