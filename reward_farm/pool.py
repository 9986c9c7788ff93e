"""Many judges as Ray actors, fed one submission at a time and batching by themselves.

    judge(submission) ─► queue (bounded) ─► an idle worker takes what waits, up to max_batch ─► verdicts
                             ▲                                      │ worker died, or InfraFault
                             └──────────── again, elsewhere, twice ─┘ then the fault is the verdict

Nobody waits for a batch to fill: a lone submission goes at once, and while workers are busy the next batch grows.
Invariant: every submission gets exactly one verdict, or `judge` raises.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from reward_farm.errors import FarmClosed, FarmError, Overloaded
from reward_farm.judge import Judge
from reward_farm.metrics import FarmMetrics
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Scored, Verdict

MAX_RETRIES = 2
START_SECONDS = 120.0
"""A worker's start: Python, Ray and the sandbox's canary, on a busy machine."""
BATCH_SECONDS = 600.0
"""A batch in which every member runs into its limits, one by one, ends within it."""


@ray.remote(num_cpus=0, max_restarts=-1)
class RustcWorker:
    """A judge in a process of its own. Costs no Ray CPU: on two cores it shares them with sampler and learner."""

    def __init__(self, settings: FarmSettings) -> None:
        self._settings = settings
        self._judge: Judge | None = None

    def judge(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """See `Judge`. Made here and not at the start, so that its errors reach the caller with their type."""
        if self._judge is None:
            self._judge = Judge(self._settings)
        return self._judge.judge(submissions)


@dataclass(frozen=True, slots=True)
class FarmStats:
    """What the farm has done so far."""

    verdicts: int
    outcomes: dict[str, int]
    cached: int
    faults: int
    retries: int
    waiting: int
    worker_seconds: float


@dataclass(slots=True)
class _Waiting:
    submission: Submission
    verdict: asyncio.Future[Verdict]
    attempts: int = 0


@dataclass(slots=True)
class _Counts:
    outcomes: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    faults: int = 0
    retries: int = 0
    worker_seconds: float = 0.0


class RewardFarm:
    """Make it where Ray runs; use it from one event loop."""

    def __init__(self, settings: FarmSettings) -> None:
        """Starts the workers; their sandboxes are proved when the first submission comes."""
        self._settings = settings
        self._workers = [RustcWorker.remote(settings) for _ in range(settings.workers)]  # type: ignore[attr-defined]
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._counts = _Counts()
        self._metrics = FarmMetrics()
        self._closed = False

    async def judge(self, submission: Submission) -> Verdict:
        """The verdict, as soon as a worker has it.

        Raises:
            Overloaded: `max_queue` submissions wait already.
            FarmClosed: the farm was closed.
            SandboxUnavailable, RustcMissing: no worker can judge on this machine.
            UnsupportedType, BadValue: the problem itself is malformed.
        """
        if self._closed:
            raise FarmClosed("the farm is closed; make a new one")
        if len(self._queue) >= self._settings.max_queue:
            raise Overloaded(f"{len(self._queue)} submissions wait already (farm.max_queue): wait for verdicts first")
        if not self._loops:
            self._loops = [asyncio.create_task(self._feed(worker)) for worker in self._workers]
        waiting = _Waiting(submission, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._arrived.set()
        return await waiting.verdict

    async def judge_many(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """All verdicts, in order. Raises as `judge` does."""
        return list(await asyncio.gather(*(self.judge(submission) for submission in submissions)))

    def stats(self) -> FarmStats:
        """Figures so far."""
        counts = self._counts
        outcomes = dict(counts.outcomes)
        return FarmStats(
            sum(outcomes.values()), outcomes, counts.cached, counts.faults, counts.retries, len(self._queue),
            counts.worker_seconds,
        )  # fmt: skip

    async def close(self) -> None:
        """Ends the workers; what still waits gets `FarmClosed`."""
        self._closed = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for worker in self._workers:
            ray.kill(worker)
        self._fail(self._queue, FarmClosed("the farm was closed before this submission was judged"))
        self._queue.clear()

    async def _feed(self, worker: Any) -> None:
        """One worker's life: take what waits, judge it, again."""
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            batch = [self._queue.popleft() for _ in range(min(self._settings.max_batch, len(self._queue)))]
            try:
                self._metrics.queued(len(self._queue))
                await self._judge_batch(worker, batch)
            except asyncio.CancelledError:
                self._fail(batch, FarmClosed("the farm was closed before this submission was judged"))
                raise
            except Exception as error:  # whoever waits must hear of it: a dead feeder would leave them waiting for ever
                self._fail(batch, FarmError(f"the farm failed on a batch: {error!r}"))
                raise

    async def _judge_batch(self, worker: Any, batch: list[_Waiting]) -> None:
        started = time.monotonic()
        submissions = [waiting.submission for waiting in batch]
        try:
            limit = START_SECONDS + BATCH_SECONDS
            verdicts = await asyncio.wait_for(_result(worker.judge.remote(submissions)), limit)
        except FarmError as error:
            self._fail(batch, error)
            return
        except (RayError, TimeoutError) as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, FarmError):
                self._fail(batch, cause)
                return
            # The worker died. Ray starts it anew; alone, a submission that kills workers takes no sibling with it.
            self._again(batch, [InfraFault(w.submission.id, f"the worker died: {error}"[:300]) for w in batch])
            return
        seconds = time.monotonic() - started
        self._counts.worker_seconds += seconds
        self._metrics.judged(verdicts, seconds)
        self._again(batch, verdicts)

    def _again(self, batch: Sequence[_Waiting], verdicts: Sequence[Verdict]) -> None:
        """Hands out verdicts; faults go to the end of the queue for another worker, while tries are left."""
        retried = given_up = 0
        for waiting, verdict in zip(batch, verdicts, strict=True):
            if isinstance(verdict, Scored):
                self._counts.outcomes[str(verdict.outcome)] += 1
                self._counts.cached += verdict.cached
            elif waiting.attempts < MAX_RETRIES and not self._closed:
                waiting.attempts += 1
                retried += 1
                self._queue.append(waiting)
                self._arrived.set()
                continue
            else:
                given_up += 1
            if not waiting.verdict.done():
                waiting.verdict.set_result(verdict)
        self._counts.retries += retried
        self._counts.faults += given_up
        if retried or given_up:
            self._metrics.faulted(retried, given_up)

    def _fail(self, batch: Sequence[_Waiting] | deque[_Waiting], error: FarmError) -> None:
        for waiting in batch:
            if not waiting.verdict.done():
                waiting.verdict.set_exception(error)


async def _result(reference: Any) -> list[Verdict]:
    return await reference  # type: ignore[no-any-return]
