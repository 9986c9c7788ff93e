"""Evaluates a model on a bank of tasks: chooses the tasks, wires model, judge and cache, writes the result.

model ─► generations journal ─► cache of verdicts ─► judges in this process ─► samples journal ─► result, report
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reward_farm.problem import Submission
from reward_farm.scoring import Scorer
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Verdict
from services.console import Operator
from services.errors import UserError
from services.models.model import Model
from services.models.samples import Asked, read_stored
from trainer.evaluation.evaluation import Evaluation
from trainer.evaluation.evaluator import IN_FLIGHT, Judge, Progress, Subject, evaluate, generate_only
from trainer.evaluation.form import PromptForms
from trainer.evaluation.judge_words import describe_judge
from trainer.evaluation.sample import Identity
from trainer.evaluation.settings import EvaluationSettings
from trainer.evaluation.verdict_cache import VerdictCache
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Split, Task


class BankError(UserError):
    """There is nothing to evaluate on, or somebody else is at it."""


@dataclass(frozen=True, slots=True)
class Bench:
    """On what models are measured, and by whom."""

    tasks: tuple[Task, ...]
    settings: EvaluationSettings
    farm: FarmSettings
    out_dir: Path
    cache: Path | None

    def judged_by(self) -> str:
        """The judge, in words."""
        return describe_judge(self.farm)


def choose_tasks(bank: TaskBank, splits: Sequence[str], limit: int | None, seed: int) -> tuple[Task, ...]:
    """The tasks of these splits (else of all but what is trained on), `limit` of them over all families.

    Raises:
        BankError: there are none, or no such split.
    """
    there = [split for split in Split if bank.tasks(split)]
    unknown = [name for name in splits if name not in {split.value for split in Split}]
    wanted = [split for split in there if split.value in splits] if splits else []
    wanted = wanted or ([] if splits else [split for split in there if split is not Split.TRAIN] or there)
    if unknown or not wanted:
        counts = ", ".join(f"{split.value} ({len(bank.tasks(split))})" for split in there) or "no tasks at all"
        raise BankError(f"no tasks of split {', '.join(unknown or splits) or 'any'}: the bank has {counts}.")
    if limit is None:
        return tuple(task for split in wanted for task in bank.tasks(split))
    share, more = divmod(limit, len(wanted))
    return tuple(
        task for number, split in enumerate(wanted) for task in bank.sample(split, share + (number < more), seed)
    )


def evaluate_model(model: Model, bench: Bench) -> Evaluation:
    """Ask and judge, both at once; what is in `out_dir` already is kept."""
    subject = _subject(model, bench)

    async def work(judge: Judge, operator: Operator) -> Evaluation:
        Asked(subject=subject, settings=bench.settings).save(bench.out_dir)
        try:
            return await evaluate(
                subject, bench.tasks, answers=model.answers, judge=judge, settings=bench.settings,
                out_dir=bench.out_dir, in_flight=IN_FLIGHT, progress=_progress(operator),
            )  # fmt: skip
        finally:
            await model.close()

    return _judging(subject, bench, work)


def generate_with(model: Model, bench: Bench) -> Path:
    """Ask and judge nothing. Returns the file of generations."""
    subject = _subject(model, bench)

    async def work(operator: Operator) -> Path:
        Asked(subject=subject, settings=bench.settings).save(bench.out_dir)
        try:
            return await generate_only(
                subject, bench.tasks, answers=model.answers, settings=bench.settings, out_dir=bench.out_dir,
                progress=_progress(operator),
            )  # fmt: skip
        finally:
            await model.close()

    with _held(bench.out_dir, subject.label) as operator:
        return asyncio.run(work(operator))


def judge_samples(path: Path, bench: Bench, forms: PromptForms) -> Evaluation:
    """Judge what a file has, and ask nobody."""
    stored = read_stored(path, bench.tasks, bench.settings, bench.judged_by(), forms)
    answered = {each.task for each in stored.generations}
    tasks = [task for task in bench.tasks if task.id in answered]
    print(f"{path}: {len(stored.generations)} answers to {len(tasks)} of {len(bench.tasks)} tasks")

    async def work(judge: Judge, operator: Operator) -> Evaluation:
        stored.hand_over(tasks, bench.out_dir)
        return await evaluate(
            stored.subject, tasks, answers=None, judge=judge, settings=stored.settings,
            out_dir=bench.out_dir, in_flight=IN_FLIGHT, progress=_progress(operator),
        )  # fmt: skip

    return _judging(stored.subject, bench, work)


def _subject(model: Model, bench: Bench) -> Subject:
    return Subject(model.label, model.where, Identity(model.sha256, bench.judged_by()), model.forms, model.facts)


def _judging(subject: Subject, bench: Bench, work: Callable[[Judge, Operator], Awaitable[Evaluation]]) -> Evaluation:
    judges = _Judges(bench.farm)
    cache = VerdictCache(bench.cache, subject.identity.judged_by) if bench.cache else None
    try:
        with _held(bench.out_dir, subject.label) as operator:
            return asyncio.run(_run(work(cache.through(judges.judge) if cache else judges.judge, operator)))
    finally:
        judges.close()
        if cache:
            cache.close()


async def _run(work: Awaitable[Evaluation]) -> Evaluation:
    return await work


class _Judges:
    """Judges in threads of this process; they prove their sandbox when the first submission comes."""

    def __init__(self, settings: FarmSettings) -> None:
        self._settings = settings
        self._scorer: Scorer | None = None
        self._starting = asyncio.Lock()

    async def judge(self, submission: Submission) -> Verdict:
        async with self._starting:
            if self._scorer is None:
                self._scorer = await asyncio.to_thread(Scorer, self._settings)
        return await asyncio.wrap_future(self._scorer.submit(submission))

    def close(self) -> None:
        if self._scorer is not None:
            self._scorer.close()


@contextmanager
def _held(out_dir: Path, label: str) -> Iterator[Operator]:
    """The terminal and a log; nobody else writes the same result meanwhile."""
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        lock = (out_dir / f".{label}.lock").open("a")
    except OSError as error:
        raise BankError(f"the folder {out_dir} can't be used: {error.strerror}. Take another with --out.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BankError(f"another process evaluates {label} into {out_dir}. Wait for it, or take --out.") from None
        operator = Operator(out_dir / f"{label}.log")
        try:
            yield operator
        finally:
            operator.close()


def _progress(operator: Operator) -> Progress:
    return lambda label, done, wanted: operator.progress(label, done, wanted, {})
