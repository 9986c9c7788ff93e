"""The result as a short Markdown text, and as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from services.report.headline import against_control, effect, headline
from services.report.numbers import TITLES, interval_of, value_of
from services.report.record import SPLIT_TITLES, RunRecord
from services.report.results import MAIN, SHOWN_SPLITS
from trainer.tasks.task import Split


def rows(record: RunRecord) -> list[list[str]]:
    """Split, checkpoint, then each main figure with its interval."""
    return [
        [
            SPLIT_TITLES[split],
            arm.title,
            *(
                f"{value_of(figure, group.figures[figure].value)} {interval_of(figure, group.figures[figure])}".strip()
                for figure in MAIN
            ),
        ]
        for split in SHOWN_SPLITS
        for arm in record.arms
        if (group := record.evaluations[arm.label].group(split)) is not None
    ]


def markdown(record: RunRecord) -> str:
    """Headline, table, and what is missing."""
    head = ["on", "checkpoint", *(TITLES[figure] for figure in MAIN)]
    lines = [f"# {record.root.resolve().name}", "", headline(record), ""]
    for said in (effect(record, Split.UNSEEN_FAMILIES), against_control(record)):
        lines += [said, ""] if said else []
    if found := rows(record):
        lines += [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *found)]
        lines += ["", "Brackets: confidence intervals for new tasks of the same kind.", ""]
    lines += [f"- {gap}" for gap in record.missing]
    return "\n".join(lines).rstrip() + "\n"


def terminal_table(record: RunRecord) -> Table:
    """The same rows for a terminal."""
    table = Table("on", "checkpoint", *(TITLES[figure] for figure in MAIN), box=None, pad_edge=False)
    for cells in rows(record):
        table.add_row(*cells)
    return table
