"""Banks of tasks on a terminal: families in a table, tasks with their answers and cases. Changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from services.errors import UserError
from trainer.tasks.bank import TaskBank
from trainer.tasks.families import FAMILIES
from trainer.tasks.task import Form, Split, Task

Row = tuple[str, Split, int | None, float, tuple[str, ...]]
"""Name, split, tasks, difficulty and tags of a family."""

SHOWN_CASES = 3
SPLIT_STYLES = {
    Split.TRAIN: "", Split.VALIDATION: "yellow", Split.UNSEEN_FAMILIES: "cyan", Split.BENCHMARK: "magenta"
}  # fmt: skip


def show_families(path: Path | None, tag: str | None) -> None:
    """A table of a bank's families, or of those that banks are drawn from."""
    console = Console(highlight=False)
    rows: list[Row]
    if path is None:
        rows = [(each.name, each.split, None, each.difficulty, each.tags) for each in FAMILIES]
    else:
        rows = [_row(name, tasks) for name, tasks in _by_family(TaskBank.load(path).all).items()]
    rows = [row for row in rows if tag is None or tag in row[-1]]
    if not rows:
        raise UserError(f"no family has the tag {tag!r}")
    table = Table("family", "split", "difficulty", "tags")
    if path is not None:
        table.add_column("tasks", justify="right")
    for name, split, tasks, difficulty, tags in sorted(rows, key=lambda row: (list(Split).index(row[1]), row[3])):
        counted = () if tasks is None else (str(tasks),)
        table.add_row(name, split, f"{difficulty:.2f}", ", ".join(tags), *counted, style=SPLIT_STYLES.get(split, ""))
    console.print(table)
    console.print(f"{len(rows)} families" + (f", {sum(row[2] or 0 for row in rows)} tasks" if path else ""))


def show_tasks(path: Path, count: int, family: str | None, task_id: str | None) -> None:
    """Tasks as a person reads them.

    Raises:
        UserError: there is no such task.
    """
    tasks = [task for task in TaskBank.load(path).all if family in (None, task.family) and task_id in (None, task.id)]
    if not tasks:
        raise UserError(f"{path} has no such task; `ferrotype tasks list {path}` shows its families")
    console = Console(highlight=False)
    for task in tasks[:: max(1, len(tasks) // count)][:count]:
        _print(console, task)


def _print(console: Console, task: Task) -> None:
    form = "" if task.form is Form.COMPLETE else f", {task.form}"
    where = f"family {task.family}, {task.split}{form}, difficulty {task.difficulty}"
    console.rule(f"[bold]{task.id}[/] {where}", align="left")
    console.print(task.instruction, style="italic", markup=False)
    console.print(Syntax(_shown(task), "rust", theme="ansi_dark", background_color="default", word_wrap=True))
    problem = task.problem
    for case in problem.cases[:SHOWN_CASES]:
        given = ", ".join(map(repr, case.args))
        console.print(f"{problem.entry}({given}) == {case.expected!r}", style="dim", markup=False)
    if len(problem.cases) > SHOWN_CASES:
        console.print(f"{len(problem.cases) - SHOWN_CASES} more cases", style="dim")
    if problem.assertions:
        console.print(Syntax(problem.assertions, "rust", theme="ansi_dark", background_color="default", word_wrap=True))


def _shown(task: Task) -> str:
    """The whole file, a hole marked; what was given alone, where no answer is known."""
    if task.suffix:
        return task.source(f" /* hole: */ {task.reference} /* end */ ")
    return task.solved or task.prompt


def _by_family(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    families: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        families[task.family].append(task)
    return families


def _row(name: str, tasks: list[Task]) -> Row:
    split = Split.TRAIN if any(task.split is Split.TRAIN for task in tasks) else tasks[0].split
    return name, split, len(tasks), tasks[0].difficulty, tasks[0].tags
