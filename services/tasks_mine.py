"""`ferrotype tasks mine`: makes a bank of a folder's doc-tested functions, and shows why others did not get into it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from reward_farm.judge import Judge
from reward_farm.settings import FarmSettings
from trainer.mining.crate import rust_files
from trainer.mining.errors import NothingToMine
from trainer.mining.mine import Mined, mine
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Task


def mine_folder(folder: Path, output: Path) -> None:
    """Write the bank and print what became of the functions.

    Raises:
        NothingToMine: no function became a task; no bank is written.
    """
    files = rust_files(folder)
    tasks: list[Task] = []
    reasons: Counter[str] = Counter()
    examples: dict[str, Mined] = {}
    properties = 0
    # What one remembers would be the other's first answer.
    settings = FarmSettings(cache_size=0)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Judge(settings) as first, Judge(settings) as second, Progress(*columns, transient=True) as progress:
        bar = progress.add_task("mining files", total=len(files))
        for mined in mine(files, folder, first.judge, second.judge, lambda: progress.advance(bar)):
            if mined.task is not None:
                tasks.append(mined.task)
                properties += bool(mined.properties)
            else:
                reasons[mined.reason] += 1
                if mined.detail or mined.reason not in examples:
                    examples.setdefault(mined.reason, mined)
    _show(folder, reasons, examples)
    total = len(tasks) + reasons.total()
    if not tasks:
        raise NothingToMine(
            f"{folder}: none of {total} functions with code in their docs became a task; no bank was written"
        )
    TaskBank(tuple(tasks), seed=0).save(output)
    print(
        f"{output}: {len(tasks)} tasks of {total} functions with code in their docs; {properties} have property tests"
    )


def _show(folder: Path, reasons: Counter[str], examples: dict[str, Mined]) -> None:
    if not reasons:
        return
    table = Table("dropped because", "functions", "such as", title="not tasks", title_justify="left")
    for reason, count in reasons.most_common():
        one = examples[reason]
        where = f"{one.name} in {one.path.relative_to(folder)}"
        table.add_row(reason, str(count), escape(f"{where}: {one.detail[:90]}" if one.detail else where))
    Console(highlight=False).print(table)
