"""`ferrotype tasks verify`: every reference must pass, and answers known to be wrong must fail."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from reward_farm.judge import Judge
from reward_farm.settings import FarmSettings
from trainer.tasks.bank import TaskBank
from trainer.tasks.mutants import Fate, Mutant, fates, kill_rate, mutants
from trainer.tasks.task import Task
from trainer.tasks.verify import Failure, verify

ROUND = 64
"""Tasks of one piece of work: a few batches of the farm."""
ENOUGH_KILLED = 0.95
MOST_SHOWN = 20


def verify_bank(path: Path, mutants_each: int, sample: int | None) -> bool:
    """Print what was found; True if all references pass and enough mutants are killed."""
    bank = TaskBank.load(path)
    tasks = list(bank.all)
    if sample is not None:
        Random(0).shuffle(tasks)
        tasks = _evenly(tasks, sample)
    failures, made, found = examine(tasks, mutants_each)
    console = Console(highlight=False)
    for failure in failures[:MOST_SHOWN]:
        console.print(f"[red]{failure.task_id}[/]: {escape(failure.reason)}")
    console.print(f"{len(tasks) - len(failures)} of {len(tasks)} references pass")
    if not found:
        return not failures
    console.print(_table(made, found))
    escaped = [each for each, fate in zip(made, found, strict=True) if fate is Fate.ESCAPED]
    for each in escaped[:MOST_SHOWN]:
        console.print(f"[yellow]escaped[/] {each.task.id}: {escape(each.change)}")
    rate = kill_rate(found)
    console.print(f"{rate:.1%} of the mutants that are wrong are killed; {ENOUGH_KILLED:.0%} must be")
    return not failures and rate >= ENOUGH_KILLED


def examine(tasks: Sequence[Task], mutants_each: int) -> tuple[list[Failure], list[Mutant], list[Fate]]:
    """References that fail, mutants, and what became of each; on all cores, with a progress bar."""
    rounds = [tasks[start : start + ROUND] for start in range(0, len(tasks), ROUND)]
    workers = min(len(rounds), len(os.sched_getaffinity(0)))
    failures: list[Failure] = []
    made: list[Mutant] = []
    found: list[Fate] = []
    with ExitStack() as stack, Progress(transient=True) as progress:
        judges = [stack.enter_context(Judge(FarmSettings())) for _ in range(workers)]
        bar = progress.add_task("verifying", total=len(tasks))

        def work(judge: Judge, mine: Sequence[Sequence[Task]]) -> None:
            for some in mine:
                report = verify(some, judge.judge)
                wrong = [each for task in some for each in mutants(task, mutants_each, Random(task.id))]
                became = fates(wrong, judge.judge) if wrong else []
                failures.extend(report.failures)
                made.extend(wrong)
                found.extend(became)
                progress.advance(bar, len(some))

        with ThreadPoolExecutor(workers) as pool:
            jobs = [pool.submit(work, judge, rounds[number::workers]) for number, judge in enumerate(judges)]
            for job in jobs:
                job.result()
    return failures, made, found


def _evenly(tasks: Sequence[Task], count: int) -> list[Task]:
    """As many of each family as there are, up to `count` in all."""
    families: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        families[task.family].append(task)
    order = sorted((place, name) for name, own in families.items() for place in range(len(own)))
    return [families[name][place] for place, name in order[:count]]


def _table(made: Sequence[Mutant], found: Sequence[Fate]) -> Table:
    """Fates of mutants, worst families first."""
    by_family: dict[str, list[Fate]] = defaultdict(list)
    for each, fate in zip(made, found, strict=True):
        by_family[each.task.family].append(fate)
    table = Table("family", *Fate, "kill rate", title="mutants", title_justify="left")
    worst = sorted(by_family.items(), key=lambda item: kill_rate(item[1]))[:10]
    for name, own in [*worst, ("all", list(found))]:
        counts = Counter(own)
        table.add_row(name, *(str(counts[fate]) for fate in Fate), f"{kill_rate(own):.1%}", end_section=name != "all")
    return table
