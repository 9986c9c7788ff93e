"""`ferrotype eval verify`: proves a benchmark, shows what was found, and marks what can't be relied on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from reward_farm.judge import Judge
from reward_farm.settings import FarmSettings
from trainer.benchmarks.verify import Proof, Standing, marked, prove
from trainer.tasks.bank import TaskBank

MOST_SHOWN = 40
"""Troubled tasks that the terminal lists; the marked bank has all."""
STYLES = {Standing.VERIFIED: "green", Standing.UNANSWERED: "yellow"}


def verify_benchmark(path: Path, output: Path | None) -> bool:
    """Print the standing of every task; True if each with a known answer is verified. `output` gets the marked bank."""
    bank = TaskBank.load(path)
    # What one remembers would be the other's first answer.
    settings = FarmSettings(cache_size=0)
    with Judge(settings) as first, Judge(settings) as second:
        total = len(bank)
        proofs = list(track(prove(bank.all, first.judge, second.judge), "verifying", total, transient=True))
    show(proofs)
    if output is not None:
        TaskBank(marked(proofs), bank.seed).save(output)
        print(f"{output}: the same tasks; those not verified are tagged so, and results are given without them too")
    return all(proof.standing in (Standing.VERIFIED, Standing.UNANSWERED) for proof in proofs)


def show(proofs: Sequence[Proof]) -> None:
    """A table of standings by family, then the tasks that are troubled."""
    console = Console(highlight=False)
    families = list(dict.fromkeys(proof.task.family for proof in proofs))
    table = Table("standing", *families)
    counts = Counter((proof.standing, proof.task.family) for proof in proofs)
    for standing in Standing:
        row = [counts[standing, family] for family in families]
        if any(row):
            table.add_row(standing, *map(str, row), style=STYLES.get(standing, "red"))
    console.print(table)
    troubled = [proof for proof in proofs if proof.standing not in (Standing.VERIFIED, Standing.UNANSWERED)]
    for proof in troubled[:MOST_SHOWN]:
        console.print(f"[red]{proof.standing}[/] {escape(proof.task.id)}: {escape(proof.reason)}")
    if len(troubled) > MOST_SHOWN:
        console.print(f"and {len(troubled) - MOST_SHOWN} more")
