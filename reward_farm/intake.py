"""What the farm has taken on: a bounded queue of groups, and the ids that are pending or were answered lately.

One submission is one job, however often its id is sent. A group waits whole and is taken whole if a batch can hold it.
Belongs to one event loop; starts nothing and judges nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reward_farm.errors import FarmError, IdConflict, Overloaded
from reward_farm.problem import Submission
from reward_farm.verdict import Scored, Verdict


@dataclass(slots=True, eq=False)
class Job:
    """A submission on its way to one verdict, for every caller that asked for it."""

    submission: Submission
    digest: bytes
    verdict: asyncio.Future[Verdict]
    arrived: float
    callers: int = 0
    attempts: int = 0
    queued: bool = False
    barred: int | None = None
    """The worker that failed at it, which leaves it to others until `barred_until`."""
    barred_until: float = 0.0


class Intake:
    """See the module."""

    def __init__(self, max_waiting: int, remembered: int) -> None:
        self._max_waiting, self._remembered = max_waiting, remembered
        self._groups: deque[list[Job]] = deque()
        self._pending: dict[str, Job] = {}
        self._answered: OrderedDict[str, tuple[bytes, Scored]] = OrderedDict()
        self._dead = 0
        self.waiting = 0
        """Jobs that no worker has taken yet."""
        self.arrived = asyncio.Event()
        """Set when there may be something to take."""

    def admit(self, submissions: Sequence[Submission], now: float) -> list[Job]:
        """A job for each submission, all of them or none. Known ones get the job, or the answer, that they have.

        Raises:
            IdConflict: an id is pending, or was answered lately, with other text or another problem.
            Overloaded: the queue can't hold the new ones.
        """
        jobs: dict[str, Job] = {}
        new: list[Job] = []
        for submission in submissions:
            digest = _digest(submission)
            job = jobs.get(submission.id) or self._pending.get(submission.id) or self._from_memory(submission, now)
            if job is None:
                job = Job(submission, digest, asyncio.get_running_loop().create_future(), now)
                new.append(job)
            elif job.digest != digest:
                raise IdConflict(
                    f"the id {submission.id!r} was submitted before with another text or problem; ids must be unique"
                )
            jobs[submission.id] = job
        if new and self.waiting + len(new) > self._max_waiting:
            raise Overloaded(
                f"{self.waiting} submissions wait already (farm.max_queue is {self._max_waiting}), and {len(new)} more "
                "do not fit: wait for verdicts first"
            )
        if new:
            self._pending |= {job.submission.id: job for job in new}
            self._enqueue(new)
        return [jobs[submission.id] for submission in submissions]

    def again(self, job: Job, barred: int | None = None, until: float = 0.0) -> None:
        """Back to the end of the queue, as a group of its own: it may be what kills workers."""
        job.attempts += 1
        job.barred, job.barred_until = barred, until
        self._enqueue([job])

    def take(self, most: int, worker: int, now: float) -> list[Job]:
        """Up to `most` jobs; a job that was tried before comes alone, and a group is split only if it is larger."""
        batch: list[Job] = []
        left: list[list[Job]] = []
        while self._groups:
            group = [job for job in self._groups[0] if not job.verdict.done()]
            room = most - len(batch)
            if group and group[0].barred == worker and now < group[0].barred_until:
                left.append(self._groups.popleft())
                continue
            if batch and group and (len(group) > room or group[0].attempts):
                break
            batch += group[:room]
            if group[room:]:
                self._groups[0] = group[room:]
                break
            self._groups.popleft()
            if batch and batch[0].attempts:
                break
        self._groups.extendleft(reversed(left))
        for job in batch:
            job.queued = False
        self.waiting -= len(batch)
        if not self._groups:
            self._dead = 0
            self.arrived.clear()
        return batch

    def settle(self, job: Job, verdict: Verdict) -> None:
        """The verdict is there. Faults of ours are not remembered: who asks again is judged again."""
        self._forget_pending(job)
        if isinstance(verdict, Scored):
            self._answered[job.submission.id] = (job.digest, verdict)
            while len(self._answered) > self._remembered:
                self._answered.popitem(last=False)
        if not job.verdict.done():
            job.verdict.set_result(verdict)

    def abandon(self, job: Job) -> None:
        """Nobody waits for it any more: it is not judged, if it is not being judged already."""
        self._forget_pending(job)
        job.verdict.cancel()
        if job.queued:
            self.waiting -= 1
            self._dead += 1
        if self._dead > self._max_waiting:  # else callers that come and go would fill the memory of a stuck farm
            live = ([job for job in group if not job.verdict.done()] for group in self._groups)
            self._groups = deque(group for group in live if group)
            self._dead = 0

    def fail(self, jobs: Iterable[Job], error: FarmError) -> None:
        """No verdict will come."""
        for job in jobs:
            self._forget_pending(job)
            if not job.verdict.done():
                job.verdict.set_exception(error)

    def fail_waiting(self, error: FarmError) -> None:
        """No verdict will come for what waits."""
        jobs = [job for group in self._groups for job in group]
        self._groups.clear()
        self.arrived.clear()
        self.waiting = self._dead = 0
        self.fail(jobs, error)

    def forget(self, ids: Iterable[str]) -> None:
        """Answers that are not to be given again."""
        for id in ids:
            self._answered.pop(id, None)

    def _enqueue(self, group: list[Job]) -> None:
        for job in group:
            job.queued = True
        self._groups.append(group)
        self.waiting += len(group)
        self.arrived.set()

    def _from_memory(self, submission: Submission, now: float) -> Job | None:
        known = self._answered.get(submission.id)
        if known is None:
            return None
        job = Job(submission, known[0], asyncio.get_running_loop().create_future(), now)
        job.verdict.set_result(known[1])
        return job

    def _forget_pending(self, job: Job) -> None:
        if self._pending.get(job.submission.id) is job:
            del self._pending[job.submission.id]


def _digest(submission: Submission) -> bytes:
    text = repr((submission.source, submission.problem))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
