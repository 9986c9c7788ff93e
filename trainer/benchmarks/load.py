"""Reads a file of tasks that Ferrotype did not make: JSON lines, each row checked, every mistake with its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trainer.benchmarks.errors import BadRow, BenchmarkUnreadable
from trainer.benchmarks.forms import FORMS, form_of
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Task

MOST_MISTAKES = 10
"""Named in one message; a file in another form has one on every line."""
AUTO = "auto"


def import_tasks(path: Path, form: str = AUTO) -> TaskBank:
    """The tasks of a file, in its order; `form` is a key of `FORMS`, or found out for each row.

    Raises:
        BenchmarkUnreadable: the file is missing, has no task, or has lines that are none; all of them are named.
    """
    if form not in (AUTO, *FORMS):
        raise BenchmarkUnreadable(f"there is no form {form!r}. Forms: {AUTO}, {', '.join(FORMS)}")
    mistakes: list[str] = []
    tasks: dict[str, Task] = {}
    for number, line in _lines(path):
        try:
            for task in _tasks(line, form):
                if task.id in tasks:
                    raise BadRow(f"the id {task.id} has been before")
                tasks[task.id] = task
        except BadRow as mistake:
            mistakes.append(f"{path}:{number}: {mistake}")
    if mistakes:
        more = len(mistakes) - MOST_MISTAKES
        raise BenchmarkUnreadable(
            "\n".join([*mistakes[:MOST_MISTAKES], *([f"and {more} more lines like these"] if more > 0 else [])])
        )
    if not tasks:
        raise BenchmarkUnreadable(f"{path} has no tasks")
    return TaskBank(tuple(tasks.values()), seed=0)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkUnreadable(f"{path} can't be read as JSON lines: {error}") from error


def _tasks(line: str, form: str) -> Iterator[Task]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadRow(f"it is no JSON ({error})") from error
    if not isinstance(row, dict):
        raise BadRow(f"it is no JSON object but {type(row).__name__}")
    yield from FORMS[form_of(row) if form == AUTO else form](row)
