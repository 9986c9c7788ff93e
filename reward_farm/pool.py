"""Many judges as Ray actors, fed whole groups and batching by themselves.

    judge(submission) ─► Intake: ids, bounded queue ─► an idle worker takes what waits, up to max_batch ─► verdicts
                             ▲                                      │ worker died, or InfraFault
                             └──────────── again, elsewhere, twice ─┘ then the fault is the verdict

Nobody waits for a batch to fill: a lone submission goes at once, and while workers are busy the next batch grows.
Invariants: every id gets exactly one verdict, or `judge` raises; a worker that fails a canary is replaced before it
judges again, and what it said since its last proof is forgotten, counted, logged and listed in `suspects`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from reward_farm.circuit import CircuitBreaker
from reward_farm.errors import BreakerOpen, DeadlineExceeded, FarmClosed, FarmError, Overloaded, SandboxFault
from reward_farm.exam import prepare
from reward_farm.intake import Intake, Job
from reward_farm.metrics import FarmMetrics
from reward_farm.problem import Submission
from reward_farm.seat import Seat, WorkerDied
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Scored, Verdict
from reward_farm.worker import start_worker

MAX_RETRIES = 2
CHECKS_FAILED = 3
"""In a row: new processes do not help, so the fault is the machine's."""
LET_OTHERS_SECONDS = 1.0
"""For so long, the worker that failed at a submission leaves it to the others."""
MOST_SUSPECTS = 65_536

_log = logging.getLogger(__name__)


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
    recycled: int = 0
    """Workers replaced: after their share of submissions, after a crash, or for a failed canary."""
    suspects: int = 0
    """Verdicts given by workers that failed their next canary."""
    ready: int = 0
    """Workers that can judge now."""


@dataclass(slots=True)
class _Counts:
    outcomes: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    faults: int = 0
    retries: int = 0
    worker_seconds: float = 0.0
    recycled: int = 0
    suspects: int = 0


class RewardFarm:
    """Make it where Ray runs; use it from one event loop."""

    def __init__(self, settings: FarmSettings) -> None:
        """Starts the workers; their sandboxes are proved when the first submission comes."""
        self._settings = settings
        self._workers = [start_worker(settings) for _ in range(settings.workers)]
        self._seats = [Seat(number, worker, settings.start_seconds) for number, worker in enumerate(self._workers)]
        self._intake = Intake(settings.max_queue, settings.remember_ids)
        self._breaker = CircuitBreaker(settings.max_fault_share, settings.breaker_seconds)
        self._loops: list[asyncio.Task[None]] = []
        self._counts = _Counts()
        self._suspects: deque[str] = deque(maxlen=MOST_SUSPECTS)
        self.metrics = FarmMetrics()
        self._ready = 0
        self._unfit = 0
        self._unusable: FarmError | None = None
        self._closed = False

    def start(self) -> None:
        """Has the workers prove their sandboxes now, so that the first submission need not wait for that."""
        if not self._loops and not self._closed:
            self._loops = [asyncio.create_task(self._feed(seat)) for seat in self._seats]

    async def judge(self, submission: Submission, deadline_seconds: float | None = None) -> Verdict:
        """The verdict, as soon as a worker has it. An id that is pending or was answered lately is not judged again.

        Raises:
            Overloaded: `max_queue` submissions wait already.
            DeadlineExceeded: no verdict came within `deadline_seconds` (else the settings' own).
            IdConflict: the id came before with another text or problem.
            BreakerOpen: the farm fails at most of what it is given.
            FarmClosed: the farm was closed.
            SandboxUnavailable, RustcMissing: no worker can judge on this machine.
            UnsupportedType, BadValue: the problem itself is malformed.
        """
        [job] = self._admit([submission])
        return await self._verdict(job, self._deadline(deadline_seconds))

    async def stream(
        self, group: Sequence[Submission], deadline_seconds: float | None = None
    ) -> AsyncIterator[tuple[int, Verdict]]:
        """Takes a whole group on, or none of it, and yields each place in it with its verdict, as they come.

        Raises as `judge` does.
        """
        deadline = self._deadline(deadline_seconds)

        async def placed(place: int, job: Job) -> tuple[int, Verdict]:
            return place, await self._verdict(job, deadline)

        judging = [asyncio.create_task(placed(place, job)) for place, job in enumerate(self._admit(group))]
        try:
            for next_one in asyncio.as_completed(judging):
                yield await next_one
        finally:
            for task in judging:
                task.cancel()
            await asyncio.gather(*judging, return_exceptions=True)

    async def judge_many(self, group: Sequence[Submission], deadline_seconds: float | None = None) -> list[Verdict]:
        """All verdicts of a group, in order. Raises as `judge` does."""
        verdicts = {place: verdict async for place, verdict in self.stream(group, deadline_seconds)}
        return [verdicts[place] for place in range(len(group))]

    def stats(self) -> FarmStats:
        """Figures so far."""
        counts = self._counts
        outcomes = dict(counts.outcomes)
        return FarmStats(
            sum(outcomes.values()), outcomes, counts.cached, counts.faults, counts.retries, self._intake.waiting,
            counts.worker_seconds, counts.recycled, counts.suspects, self._ready,
        )  # fmt: skip

    @property
    def suspects(self) -> tuple[str, ...]:
        """Ids of verdicts that came from workers which then failed a canary, latest last. Drop them or judge again."""
        return tuple(self._suspects)

    @property
    def refusal(self) -> FarmError | None:
        """Why `judge` would raise now, whatever it is given; None while the farm works."""
        if self._closed:
            return FarmClosed("the farm is closed; make a new one")
        return self._unusable or (BreakerOpen(self._breaker.reasons, 0.0) if self._breaker.is_open else None)

    async def close(self) -> None:
        """Ends the workers; what still waits gets `FarmClosed`."""
        self._closed = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await asyncio.gather(*(seat.end() for seat in self._seats))
        self._intake.fail_waiting(FarmClosed("the farm was closed before this submission was judged"))
        self.metrics.closed(len(self._seats))

    def _admit(self, group: Sequence[Submission]) -> list[Job]:
        if self._closed:
            raise FarmClosed("the farm is closed; make a new one")
        if self._unusable is not None:
            raise self._unusable
        for submission in group:
            prepare(submission.problem)  # here, so that a malformed problem fails nobody else
        now = time.monotonic()
        wait = self._breaker.wait(now)
        if wait:
            raise BreakerOpen(self._breaker.reasons, wait)
        try:
            jobs = self._intake.admit(group, now)
        except Overloaded:
            self.metrics.refused(len(group))
            raise
        for job in jobs:
            job.callers += 1
        self.start()
        return jobs

    def _deadline(self, seconds: float | None) -> float | None:
        seconds = seconds if seconds is not None else self._settings.deadline_seconds
        return None if seconds is None else asyncio.get_running_loop().time() + seconds

    async def _verdict(self, job: Job, deadline: float | None) -> Verdict:
        """Waits for a job with others who may wait for it; the last to leave takes it with them."""
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(job.verdict)
        except TimeoutError as error:
            self.metrics.missed_deadline()
            state = "in the queue" if job.queued else "in a worker"
            raise DeadlineExceeded(f"no verdict on {job.submission.id!r} in time; it is still {state}") from error
        finally:
            job.callers -= 1
            if not job.callers and not job.verdict.done():
                self._intake.abandon(job)

    async def _feed(self, seat: Seat) -> None:
        """One worker's life: start, take what waits, judge it, again."""
        try:
            while True:
                await seat.start()
                self._set_ready(+1)
                try:
                    why = await self._serve(seat)
                finally:
                    self._set_ready(-1)
                self._counts.recycled += 1
                self.metrics.recycled(why)
        except FarmError as error:
            self._lost(error)
        except Exception as error:  # who waits must hear of it: a feeder that died silently would leave them waiting
            self._lost(FarmError(f"the farm failed: {error!r}"))
            raise

    async def _serve(self, seat: Seat) -> str:
        """Judges until the worker needs another process, and says why."""
        try:
            while seat.judged < self._settings.recycle_after:
                batch = await self._take(seat)
                if batch:
                    await self._judge_batch(seat, batch)
                elif complaint := await seat.check():
                    self._suspect(seat, complaint)
                    return "canary"
        except WorkerDied as died:
            return died.why
        await seat.retire()
        seat.replace()
        return "age"

    async def _take(self, seat: Seat) -> list[Job]:
        """What waits, up to a batch, as soon as anything does; nothing when the worker is to be proved first."""
        while True:
            # An idle worker is proved once more after its last work, and then left in peace.
            due = seat.checked + self._settings.canary_seconds - time.monotonic() if seat.unproved else None
            if due is not None and due <= 0:
                return []
            now = time.monotonic()
            batch = self._intake.take(self._settings.max_batch, seat.number, now)
            if batch:
                self.metrics.taken(self._intake.waiting, [now - job.arrived for job in batch])
                return batch
            if self._intake.waiting:  # for another worker; for this one too, if none comes
                await asyncio.sleep(LET_OTHERS_SECONDS / 10)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(due):
                    await self._intake.arrived.wait()

    async def _judge_batch(self, seat: Seat, batch: list[Job]) -> None:
        """Raises WorkerDied, after its batch was taken care of."""
        started = time.monotonic()
        try:
            judged = await seat.judge([job.submission for job in batch])
        except asyncio.CancelledError:
            self._intake.fail(batch, FarmClosed("the farm was closed before this submission was judged"))
            raise
        except WorkerDied as died:
            self._hand_out(seat, batch, [InfraFault(job.submission.id, str(died)) for job in batch])
            raise
        seconds = time.monotonic() - started
        self._hand_out(seat, batch, judged.verdicts)
        self._counts.worker_seconds += seconds
        self.metrics.judged(seat.number, judged.verdicts, judged.fallbacks, judged.resident_bytes, seconds)

    def _suspect(self, seat: Seat, said: str) -> None:
        """What the worker said since its last proof may be wrong: it is out already, so who used it is told.

        Raises SandboxFault if fresh processes fail as well.
        """
        ids = seat.unproved
        self._intake.forget(ids)
        self._suspects.extend(ids)
        self._counts.suspects += len(ids)
        self.metrics.suspected(len(ids))
        shown = ", ".join(ids[:20]) + (" and more" if len(ids) > 20 else "")
        _log.warning("worker %d failed a health check (%s); %d verdicts are suspect: %s",
                     seat.number, said, len(ids), shown)  # fmt: skip
        if seat.failed_checks == CHECKS_FAILED:
            raise SandboxFault(f"a worker failed {CHECKS_FAILED} health checks in a row: {said}")

    def _set_ready(self, by: int) -> None:
        self._ready += by
        self.metrics.workers(self._ready)

    def _lost(self, error: FarmError) -> None:
        """A worker can't judge where it is. With the last one, the farm can't."""
        self._unfit += 1
        if self._unfit == len(self._workers):
            self._unusable = error
            self._intake.fail_waiting(error)

    def _hand_out(self, seat: Seat, batch: Sequence[Job], verdicts: Sequence[Verdict]) -> None:
        """Hands out verdicts; faults go to the end of the queue for another worker, while tries are left."""
        retried = given_up = 0
        opened = False
        now = time.monotonic()
        others = len(self._seats) - self._unfit > 1
        for job, verdict in zip(batch, verdicts, strict=True):
            if isinstance(verdict, InfraFault) and job.verdict.done():  # nobody waits for it any more
                continue
            if isinstance(verdict, InfraFault) and job.attempts < MAX_RETRIES:
                retried += 1
                self._intake.again(job, seat.number if others else None, now + LET_OTHERS_SECONDS)
                continue
            if isinstance(verdict, Scored):
                self._counts.outcomes[str(verdict.outcome)] += 1
                self._counts.cached += verdict.cached
                self._breaker.record(None, now)
            else:
                given_up += 1
                opened |= self._breaker.record(verdict.reason, now)
            self._intake.settle(job, verdict)
        self._counts.retries += retried
        self._counts.faults += given_up
        self.metrics.faulted(retried, given_up, self._breaker.is_open)
        if opened:
            error = BreakerOpen(self._breaker.reasons, self._settings.breaker_seconds)
            _log.error("%s", error)
            self._intake.fail_waiting(error)
