"""`ferrotype compare`: two results side by side, on the terminal and as a report. Imports nothing heavy at first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from reward_farm.verdict import Scored
    from services.report.evaluation.results import Results

MOST_CODES = 8
MOST_TASKS = 10


def compare(
    before: Annotated[Path, typer.Argument(help="A result: the .json that `ferrotype eval` wrote.")],
    after: Annotated[Path, typer.Argument(help="The result to compare with it.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the report; else beside the second result.")] = None,
) -> None:
    """Compare two results task by task: paired tests, errors that came and went, gains and losses side by side."""
    from rich.console import Console

    from services.report.evaluation.report import write_evaluation_report
    from services.report.evaluation.results import read_results
    from services.report.evaluation.summary import headline, moved

    results = read_results([before, after])
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{headline(results)}[/]")
    console.print(moved(results) or "")
    for caution in results.cautions:
        console.print(f"[yellow]careful[/]: {caution}")
    _rates(console, results)
    _codes(console, results)
    _tasks(console, results)
    place = out or after.parent / f"compare-{before.stem}-{after.stem}"
    print(f"report: {write_evaluation_report([before, after], place)}")


def _rates(console: Console, results: Results) -> None:
    """The paired figures of each split, with interval and p-value; of what was sampled, where anything was."""
    from rich.table import Table

    from services.report.evaluation.summary import SPLIT_TITLES, title_of
    from services.report.numbers import difference_of, is_share, p_value, value_of
    from trainer.evaluation.compare import COMPARED

    table = Table("", *(side.title for side in results.sides), "difference", "interval", "")
    for split in results.splits:
        found = [each for figure in COMPARED if (each := results.paired(split, figure)) is not None]
        for place, comparison in enumerate(found):
            paired, figure = comparison.difference, comparison.figure
            if place == 0:
                table.add_row(f"[bold]{SPLIT_TITLES[split]}[/], {paired.pairs} tasks")
            scale = 100 if is_share(figure) else 1
            table.add_row(
                f"  {title_of(figure)}",
                value_of(figure, paired.before),
                value_of(figure, paired.after),
                difference_of(figure, paired.difference),
                rf"\[{scale * paired.low:+.1f}, {scale * paired.high:+.1f}]",
                p_value(paired.p_value),
                style="bold" if paired.p_value < 0.05 else None,
                end_section=place == len(found) - 1,
            )
    console.print(table)


def _codes(console: Console, results: Results) -> None:
    """Errors by code, as a share of the answers on each side, those that moved most first."""
    from rich.table import Table

    from services.report.outcomes import CODE_TITLES

    shares: list[dict[str, float]] = []
    for side in results.sides:
        groups = [group for split in results.splits if (group := side.group(split))]
        samples = sum(group.samples for group in groups) or 1
        codes: dict[str, float] = {}
        for group in groups:
            for code, count in group.error_codes.items():
                codes[code] = codes.get(code, 0.0) + count / samples
        shares.append(codes)
    first, last = shares
    moved = sorted(first.keys() | last.keys(), key=lambda code: -abs(last.get(code, 0) - first.get(code, 0)))
    if not moved:
        return
    table = Table("error", "", *(side.title for side in results.sides), "change")
    for code in moved[:MOST_CODES]:
        before, after = first.get(code, 0.0), last.get(code, 0.0)
        style = "green" if after < before else "red" if after > before else None
        change = f"{100 * (after - before):+.1f} points"
        table.add_row(code, CODE_TITLES.get(code, ""), f"{before:.1%}", f"{after:.1%}", change, style=style)
    console.print(table)


def first_words(scored: Scored) -> str:
    """Why an answer fails: rustc's first error, or what a hidden test gave."""
    for found in scored.diagnostics:
        if found.level == "error":
            return f"{found.code or 'error'} at {found.line}:{found.column}: {found.message.partition(chr(10))[0]}"
    wrong = next((case for case in scored.cases if case.status != "passed"), None)
    return "" if wrong is None else f"a hidden test {wrong.status}" + (f": it gave {wrong.got}" if wrong.got else "")


def _tasks(console: Console, results: Results) -> None:
    """Tasks that were broken, then those that were fixed, with what became of each."""
    from rich.markup import escape

    from trainer.evaluation.compare import Standing

    for standing, style in ((Standing.BROKEN, "red"), (Standing.FIXED, "green")):
        tasks = [task for task in results.tasks if results.standings.get(task) is standing]
        for task in tasks[:MOST_TASKS]:
            outcomes = [sample.scored.outcome for side in results.representatives if (sample := side[task]).scored]
            told = " → ".join(outcome.value.replace("_", " ") for outcome in outcomes)
            console.print(f"[{style}]{standing:<7}[/] {escape(task)}: {told}")
            failed = results.representatives[standing is Standing.BROKEN][task].scored
            if failed is not None and (said := first_words(failed)):
                console.print(f"        [dim]{escape(said)}[/]")
        if len(tasks) > MOST_TASKS:
            console.print(f"[dim]and {len(tasks) - MOST_TASKS} more {standing}; the report has all[/]")
