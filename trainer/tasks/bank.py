"""The task bank: tasks of every family, split, saved as JSON lines. Never runs Rust; `verify` does."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from trainer.tasks.errors import TaskBankError
from trainer.tasks.families import FAMILIES
from trainer.tasks.family import Family
from trainer.tasks.record import Header, dump_task, load_task
from trainer.tasks.task import Split, Task
from trainer.tasks.wording import make_task, split_of

DRAWS_PER_TASK = 30
"""Draws before a family is taken to have no further tasks."""
WORDINGS_PER_MEANING = 2
"""Of one function, at most so many wordings are evaluated on: more would count one skill many times."""


@dataclass(frozen=True, slots=True)
class TaskBank:
    """Tasks with distinct prompts, in the order of their families."""

    all: tuple[Task, ...]
    seed: int

    def __len__(self) -> int:
        return len(self.all)

    def tasks(self, split: Split) -> Sequence[Task]:
        """The tasks of one split."""
        return tuple(task for task in self.all if task.split is split)

    def sample(self, split: Split, count: int, seed: int = 0) -> Sequence[Task]:
        """`count` tasks of a split (all, if it has fewer), spread over its families."""
        from trainer.tasks.sampler import TaskSampler

        tasks = self.tasks(split)
        if not tasks:
            return ()
        sampler = TaskSampler(tasks, seed)
        chosen: dict[str, Task] = {}
        while len(chosen) < min(count, len(tasks)):
            task = next(sampler)
            chosen[task.id] = task
        return tuple(chosen.values())

    def save(self, path: Path) -> None:
        """Writes a header and a task a line; the file appears whole or not at all."""
        header = Header(schema_version=1, seed=self.seed, tasks=len(self))
        _write_whole(path, [header.model_dump_json(), *(dump_task(task) for task in self.all)])

    @classmethod
    def load(cls, path: Path) -> TaskBank:
        """Reads what `save` wrote. Raises TaskBankError naming the line that is wrong."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise TaskBankError(f"{path}: can't be read as a task bank: {error}") from error
        header = _parse(path, 1, Header.model_validate_json, lines[0] if lines else "")
        tasks = tuple(_parse(path, number, load_task, line) for number, line in enumerate(lines[1:], 2))
        if len(tasks) != header.tasks:
            raise TaskBankError(f"{path}: has {len(tasks)} tasks where its header says {header.tasks}; build it again")
        return cls(tasks, header.seed)


def build_bank(
    seed: int = 0,
    train_per_family: int = 32,
    unseen_tasks_per_family: int = 12,
    unseen_family_tasks: int = 48,
    families: Sequence[Family] = FAMILIES,
    max_difficulty: float = 1.0,
) -> TaskBank:
    """Draws a bank; the same arguments give the same bank. A family with fewer functions gives what it has.

    Trained families above `max_difficulty` are left out: a small model learns nothing of what it can never solve.
    Validation families get as many tasks as unseen ones.

    Which split a function belongs to does not depend on `seed`: no bank trains on what another one evaluates on.
    """
    wanted = {
        Split.TRAIN: train_per_family,
        Split.UNSEEN_TASKS: unseen_tasks_per_family,
        Split.UNSEEN_FAMILIES: unseen_family_tasks,
        Split.VALIDATION: unseen_family_tasks,
    }
    tasks: dict[str, Task] = {}
    for family in families:
        if family.split is Split.TRAIN and family.difficulty > max_difficulty:
            continue
        for task in _draw_family(family, wanted, seed):
            tasks.setdefault(task.id, task)
    return TaskBank(tuple(tasks.values()), seed)


def _draw_family(family: Family, wanted: dict[Split, int], seed: int) -> Iterable[Task]:
    possible = [Split.TRAIN, Split.UNSEEN_TASKS] if family.split is Split.TRAIN else [family.split]
    left = {split: wanted[split] for split in possible}
    meanings: Counter[str] = Counter()
    drawn: dict[str, Task] = {}
    for number in range(DRAWS_PER_TASK * sum(left.values())):
        if not any(left.values()):
            break
        draw = f"{seed}:{family.name}:{number}"
        rng = Random(draw)
        draft = family.make(rng)
        split = split_of(family, draft)
        if not left[split] or (split is not Split.TRAIN and meanings[draft.meaning] >= WORDINGS_PER_MEANING):
            continue
        task = make_task(family, draft, rng, seed, draw=draw)
        if task is not None and task.id not in drawn:
            drawn[task.id] = task
            meanings[draft.meaning] += 1
            left[split] -= 1
    return drawn.values()


def _parse(path: Path, number: int, parse, line: str):  # type: ignore[no-untyped-def]
    try:
        return parse(line)
    except ValueError as error:
        reason = str(error).splitlines()
        raise TaskBankError(
            f"{path}:{number}: no valid task bank line ({' '.join(reason[:3])}); build the bank again"
        ) from error


def _write_whole(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
