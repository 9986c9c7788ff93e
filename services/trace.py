"""`ferrotype trace`: what the model wrote in an iteration and what the farm said of it. Judges nothing."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from reward_farm.rendering import render
from services.errors import RunFolderError
from trainer.grpo.trace import TraceEntry, iteration_of, read_trace, trace_files

NO_VERDICT = "infra_fault"


class Order(StrEnum):
    """Which completions come first."""

    SAMPLED = "sampled"
    WORST = "worst"
    BEST = "best"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to show; None is anything."""

    outcome: str | None = None
    code: str | None = None
    family: str | None = None
    task: str | None = None

    def holds(self, entry: TraceEntry) -> bool:
        """Whether a completion is wanted."""
        codes = {d.code for d in entry.scored.diagnostics} if entry.scored else set()
        return (
            self.outcome in (None, outcome_of(entry))
            and (self.code is None or self.code in codes)
            and self.family in (None, entry.family)
            and self.task in (None, entry.task)
        )


def show_trace(folder: Path, iteration: int | None, wanted: Wanted, order: Order, count: int, *, as_json: bool) -> None:
    """Print completions of one iteration (the newest where none is given).

    Raises:
        RunFolderError: there is no trace of that iteration, or nothing in it is wanted.
    """
    entries = list(read_trace([_file(folder, iteration)]))
    chosen = ordered(filter(wanted.holds, entries), order)
    if not chosen:
        there = ", ".join(f"{outcome} {n}" for outcome, n in Counter(map(outcome_of, entries)).most_common())
        raise RunFolderError(f"no completion of iteration {entries[0].iteration} is such a one; it has {there}")
    if as_json:
        for entry in chosen[:count]:
            sys.stdout.buffer.write(entry.to_json() + b"\n")
        return
    console = Console(highlight=False)
    console.print(_overview(entries, chosen))
    texts = Counter((entry.group, entry.completion) for entry in chosen)
    distinct = {(entry.group, entry.completion): entry for entry in reversed(chosen)}
    shown = sorted(distinct.values(), key=chosen.index)
    for entry in shown[:count]:
        _print(console, entry, texts[entry.group, entry.completion])
    if len(shown) > count:
        console.print(f"[dim]{len(shown) - count} more texts: --count {len(shown)} shows all[/]")


def ordered(entries: Iterable[TraceEntry], order: Order) -> list[TraceEntry]:
    """The completions in the order asked for; those without a verdict count as the worst."""
    if order is Order.SAMPLED:
        return list(entries)
    return sorted(entries, key=reward_of, reverse=order is Order.BEST)


def outcome_of(entry: TraceEntry) -> str:
    """The verdict in a word."""
    return entry.scored.outcome.value if entry.scored else NO_VERDICT


def reward_of(entry: TraceEntry) -> float:
    """0 to 30; -1 without a verdict."""
    return entry.scored.reward.total if entry.scored else -1.0


def _file(folder: Path, iteration: int | None) -> Path:
    files = trace_files(folder)
    if not files:
        raise RunFolderError(f"{folder} has no trace: RL has not finished an iteration there")
    by_iteration = {iteration_of(file): file for file in files}
    chosen = max(by_iteration) if iteration is None else iteration
    if chosen not in by_iteration:
        raise RunFolderError(f"no trace of iteration {chosen}: there are {min(by_iteration)} to {max(by_iteration)}")
    return by_iteration[chosen]


def _overview(entries: Sequence[TraceEntry], chosen: Sequence[TraceEntry]) -> Table:
    """How the iteration's completions ended, and how many of each are wanted."""
    title = f"iteration {entries[0].iteration}: {len(entries)} completions of {len({e.group for e in entries})} tasks"
    table = Table("outcome", title=title, title_justify="left")
    for name in ("completions", "chosen", "mean reward"):
        table.add_column(name, justify="right")
    wanted = Counter(map(outcome_of, chosen))
    for outcome, number in Counter(map(outcome_of, entries)).most_common():
        rewards = [reward_of(entry) for entry in entries if outcome_of(entry) == outcome and entry.scored]
        mean = f"{sum(rewards) / len(rewards):.1f}" if rewards else ""
        table.add_row(outcome, str(number), str(wanted[outcome]), mean)
    return table


def _print(console: Console, entry: TraceEntry, times: int) -> None:
    style = "green" if entry.scored and entry.scored.passed else "yellow" if entry.scored else "red"
    versions = sorted({span.version for span in entry.versions})
    written = f" · written {times} times" if times > 1 else ""
    console.rule(
        f"[bold {style}]{outcome_of(entry)}[/] {reward_of(entry):.1f} of 30 · {escape(entry.task)}{written}",
        align="left",
    )
    console.print(
        f"[dim]group {entry.group} · {entry.tokens} tokens, {entry.finish_reason} · log-probability "
        f"{entry.logprob:.1f} nats · policy {', '.join(map(str, versions))}[/]"
    )
    console.print(Syntax(entry.source, "rust", line_numbers=True, theme="ansi_dark", background_color="default"))
    said = render(entry.verdict, entry.source, f"{entry.function}.rs", entry.function, colour=console.is_terminal)
    console.out(said, highlight=False)
