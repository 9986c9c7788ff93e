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
from ray.exceptions import RayError, RayTaskError

from reward_farm.errors import FarmClosed, FarmError, Overloaded, SandboxFault
from reward_farm.exam import prepare
from reward_farm.judge import Judge
from reward_farm.metrics import FarmMetrics
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Scored, Verdict

MAX_RETRIES = 2
START_SECONDS = 120.0
"""A worker's start: Python, Ray and the sandbox's canary, on a busy machine."""
RESTART_POLL_SECONDS = 0.5
BATCH_SECONDS = 600.0
"""A batch in which every member runs into its limits, one by one, ends within it."""


@ray.remote(num_cpus=0, max_restarts=-1)
class RustcWorker:
    """A judge in a process of its own. Costs no Ray CPU: on two cores it shares them with sampler and learner."""

    def __init__(self, settings: FarmSettings) -> None:
        self._settings = settings
        self._judge: Judge | None = None

    def _ready(self) -> Judge:
        """The judge, its sandbox proved. Made here and not in `__init__`, whose errors Ray turns into text.

        Raises as `Judge` does.
        """
        if self._judge is None:
            self._judge = Judge(self._settings)
        return self._judge

    def start(self) -> str:
        """The compiler's version. Raises as `Judge` does."""
        return self._ready().toolchain.version

    def judge(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """See `Judge.judge`."""
        return self._ready().judge(submissions)


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
        self._unfit = 0
        self._unusable: FarmError | None = None
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
        if self._unusable is not None:
            raise self._unusable
        prepare(submission.problem)  # here, so that a malformed problem fails nobody else
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
        """One worker's life: start, take what waits, judge it, again."""
        try:
            while True:
                await _started(worker)
                while await self._judge_batch(worker, await self._take()):
                    pass
        except FarmError as error:
            self._lost(error)
        except Exception as error:  # who waits must hear of it: a feeder that died silently would leave them waiting
            self._lost(FarmError(f"the farm failed: {error!r}"))
            raise

    async def _take(self) -> list[_Waiting]:
        """What waits, up to a batch, as soon as anything does. A retry goes alone: it may be what kills workers."""
        while True:
            while self._queue and self._queue[0].verdict.done():  # its caller gave up
                self._queue.popleft()
            if self._queue:
                break
            self._arrived.clear()
            await self._arrived.wait()
        batch = [self._queue.popleft()]
        size = 1 if batch[0].attempts else self._settings.max_batch
        while len(batch) < size and self._queue and not self._queue[0].attempts:
            batch.append(self._queue.popleft())
        self._metrics.queued(len(self._queue))
        return batch

    async def _judge_batch(self, worker: Any, batch: list[_Waiting]) -> bool:
        """Whether the worker lived through the batch."""
        started = time.monotonic()
        try:
            verdicts = await asyncio.wait_for(
                _result(worker.judge.remote([waiting.submission for waiting in batch])), BATCH_SECONDS
            )
        except asyncio.CancelledError:
            self._fail(batch, FarmClosed("the farm was closed before this submission was judged"))
            raise
        except (RayError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                ray.kill(worker, no_restart=False)
            reason = f"the worker failed: {str(error)[-300:]}"
            self._again(batch, [InfraFault(waiting.submission.id, reason) for waiting in batch])
            return False
        self._again(batch, verdicts)
        seconds = time.monotonic() - started
        self._counts.worker_seconds += seconds
        self._metrics.judged(verdicts, seconds)
        return True

    def _lost(self, error: FarmError) -> None:
        """A worker can't judge where it is. With the last one, the farm can't."""
        self._unfit += 1
        if self._unfit == len(self._workers):
            self._unusable = error
            self._fail(self._queue, error)
            self._queue.clear()

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


async def _started(worker: Any) -> None:
    """Waits until the worker's sandbox is proved, also while Ray starts the worker anew.

    Raises what `Judge` raises; SandboxFault if the worker does not start in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            await asyncio.wait_for(_result(worker.start.remote()), max(0.0, deadline - time.monotonic()))
            return
        except RayTaskError as error:
            if isinstance(error.cause, FarmError):
                raise error.cause from None
            raise SandboxFault(f"a worker could not start: {error}") from error
        except TimeoutError as error:
            raise SandboxFault(f"a worker did not start within {START_SECONDS:.0f} s") from error
        except RayError as error:
            if time.monotonic() > deadline:
                raise SandboxFault(f"a worker keeps dying as it starts: {error}") from error
            await asyncio.sleep(RESTART_POLL_SECONDS)


async def _result(reference: Any) -> Any:
    return await reference
