"""The farm as a function: `score(problem, completions)`. In this process, without Ray, for notebooks and trainers.

    score, score_async ─► Scorer ─► queue ─► a thread with a Judge each (rustc is a process, so threads use all cores)

Calls from many threads or tasks are batched together. A fault of ours is tried again twice, elsewhere if it can be.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any, Protocol, TypeAlias

from reward_farm.answer import source_of
from reward_farm.document import read_problem
from reward_farm.errors import FarmClosed
from reward_farm.exam import prepare
from reward_farm.judge import Judge
from reward_farm.problem import Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Verdict

MAX_RETRIES = 2


class Task(Protocol):
    """Anything with a problem, and the text that begins the function."""

    @property
    def problem(self) -> Problem:
        """What must be right."""
        ...

    @property
    def prompt(self) -> str:
        """What a completion goes on from, such as a doc comment and a signature with its `{`."""
        ...


@dataclass(frozen=True, slots=True)
class Prompted:
    """A problem, and the text that began its function: a `Task`."""

    problem: Problem
    prompt: str = ""


Asked: TypeAlias = "Problem | Task | str | Mapping[str, Any]"
"""A problem; a task; or a problem's JSON document, which may have a "prompt" too."""


def score(task: Asked, completions: Sequence[Any], settings: FarmSettings | None = None) -> list[Verdict]:
    """The verdict on each completion, in order. They may be Rust, or chat with Rust in it (`reward_farm.answer`).

    The first call finds the compiler and proves the sandbox, which takes a second; later ones with the same settings
    do not.

    Raises:
        RustcMissing, SandboxUnavailable: nothing can be judged on this machine.
        BadProblem, UnsupportedType, BadValue: the problem is malformed.
    """
    read = read_task(task)
    return scorer(settings or FarmSettings()).score([(read, completion) for completion in completions])


async def score_async(task: Asked, completions: Sequence[Any], settings: FarmSettings | None = None) -> list[Verdict]:
    """As `score`, without blocking the event loop."""
    return await asyncio.to_thread(score, task, completions, settings)


@lru_cache(maxsize=8)
def scorer(settings: FarmSettings) -> Scorer:
    """This process's scorer with these settings."""
    return Scorer(settings)


def submission_of(id: str, task: Asked, completion: Any) -> Submission:
    """What a completion of a task is judged as.

    Raises:
        BadProblem, UnsupportedType, BadValue: the problem is malformed.
    """
    read = read_task(task)
    return Submission(id, source_of(completion, read.problem.entry, read.prompt), read.problem)


@dataclass(slots=True)
class _Job:
    submission: Submission
    verdict: Future[Verdict]
    attempts: int = 0


class Scorer:
    """`settings.workers` judges, each in a thread of its own. Thread-safe."""

    def __init__(self, settings: FarmSettings) -> None:
        """Raises RustcMissing or SandboxUnavailable where nothing can be judged."""
        self._settings = settings
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ids = count()
        self._closed = False
        judges = [Judge(settings) for _ in range(settings.workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(judge,), daemon=True, name=f"ferrotype-judge-{number}")
            for number, judge in enumerate(judges)
        ]
        for thread in self._threads:
            thread.start()

    def score(self, pairs: Iterable[tuple[Asked, Any]]) -> list[Verdict]:
        """The verdicts on pairs of a task and a completion, in order. Raises as the function `score` does."""
        return self.judge([submission_of(f"{next(self._ids)}", task, completion) for task, completion in pairs])

    def judge(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """The verdicts on submissions, in order."""
        return [verdict.result() for verdict in [self.submit(submission) for submission in submissions]]

    def submit(self, submission: Submission) -> Future[Verdict]:
        """The verdict on a submission, once it is there."""
        if self._closed:
            raise FarmClosed("the scorer is closed; make a new one")
        job = _Job(submission, Future())
        self._queue.put(job)
        return job.verdict

    def close(self) -> None:
        """Ends the threads, after what was asked before."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, judge: Judge) -> None:
        with judge:
            while batch := self._take():
                try:
                    verdicts = judge.judge([job.submission for job in batch])
                except Exception as error:  # who waits in another thread must hear of it
                    for job in batch:
                        job.verdict.set_exception(error)
                    continue
                for job, verdict in zip(batch, verdicts, strict=True):
                    if isinstance(verdict, InfraFault) and job.attempts < MAX_RETRIES and not self._closed:
                        job.attempts += 1
                        self._queue.put(job)
                    else:
                        job.verdict.set_result(verdict)

    def _take(self) -> list[_Job]:
        """What waits, up to a fair share of it and to a batch; nothing when there will be no more."""
        first = self._queue.get()
        if first is None:
            return []
        batch = [first]
        share = -(-(self._queue.qsize() + 1) // len(self._threads))
        while len(batch) < min(share, self._settings.max_batch):
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._queue.put(None)
                break
            batch.append(job)
        return batch


def read_task(task: Asked) -> Task:
    """A task in whatever form it comes. Raises BadProblem, UnsupportedType or BadValue if it is malformed."""
    if isinstance(task, str):
        return _parsed(task)
    if isinstance(task, Mapping):
        return Prompted(read_problem(task), str(task.get("prompt") or ""))
    read = Prompted(task) if isinstance(task, Problem) else task
    prepare(read.problem)
    return read


@lru_cache(maxsize=4096)
def _parsed(document: str) -> Task:
    """A group's completions come with the same text."""
    problem = read_problem(document)  # first, for it says what is wrong
    return Prompted(problem, str(json.loads(document).get("prompt") or ""))
