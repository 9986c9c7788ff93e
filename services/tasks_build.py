"""`ferrotype tasks build`: draws a bank, in other forms too where they are asked for, and says what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from reward_farm.judge import Judge
from reward_farm.settings import FarmSettings
from services.errors import UserError
from trainer.tasks.bank import TaskBank, build_bank
from trainer.tasks.forms import in_forms
from trainer.tasks.task import Form, Task

ROUND = 128
"""Tasks put into other forms at a time: four batches of the farm, and a progress bar that moves."""


def build(
    output: Path,
    seed: int,
    per_family: int,
    unseen: int,
    held_out: int,
    max_difficulty: float,
    forms: Sequence[str],
) -> None:
    """Write the bank.

    Raises:
        UserError: there is no such form.
    """
    others = [form for form in Form if form is not Form.COMPLETE]
    if unknown := sorted(set(forms) - set(others)):
        raise UserError(f"there is no form {', '.join(unknown)}. Forms: {', '.join(others)}")
    bank = build_bank(seed, per_family, unseen, held_out, max_difficulty=max_difficulty)
    if forms:
        bank = TaskBank((*bank.all, *_others(bank, [Form(form) for form in forms])), seed)
    bank.save(output)
    families = len({task.family for task in bank.all})
    splits = Counter(task.split.value for task in bank.all)
    print(f"{output}: {len(bank)} tasks of {families} families: {_counted(splits)}")
    if forms:
        print(f"  {_counted(Counter(task.form.value for task in bank.all))}")


def _others(bank: TaskBank, forms: Sequence[Form]) -> list[Task]:
    starts = range(0, len(bank), ROUND)
    with Judge(FarmSettings()) as judge:
        return [
            task
            for start in track(starts, "other forms", transient=True)
            for task in in_forms(bank.all[start : start + ROUND], forms, judge.judge, bank.seed)
        ]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
