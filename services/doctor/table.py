"""The checks as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from services.doctor.check import Check, Health

FILE_WIDTH = 160
"""Columns of what goes to a file or a pipe."""
STYLE = {Health.OK: "green", Health.NOTE: "yellow", Health.MISSING: "red"}


def machine(checks: Sequence[Check]) -> Table:
    """What the machine has and lacks."""
    table = Table("", "part", "found", "remedy", title="machine", title_justify="left")
    for check in checks:
        table.add_row(check.health.value, check.name, check.found, check.remedy, style=STYLE[check.health])
    return table


def show(checks: Sequence[Check]) -> None:
    """Print the table."""
    wide_console().print(machine(checks))


def wide_console() -> Console:
    """The terminal; a file has room for long lines."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    return console
