"""Keeps the group buffer full: tasks are sampled, and every completion is judged the moment it is finished.

    TaskSource ─► open slot ─► G requests ─► RolloutPool.generate ──each completion, at once──► RewardFarm.judge
                      ▲                                                                              │ verdict
                      └──────────── GroupBuffer ◄──── group complete ◄───────────────────────────────┘
                                        └─► take() ─► [the learner, elsewhere] ─► advance(version) ─► slots free

Invariants: a slot is opened only while the rollout pool serves the buffer's version; a fault of the farm is never a
reward; a group that teaches nothing gives its slot to another, within bounds (`refill`); the first error of any group
reaches `take`, and nothing is started after it until `recover`. Belongs to one event loop. Trains nothing and pushes no
weights.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from reward_farm.problem import Submission
from reward_farm.verdict import Verdict
from rollout.types import Completion, GenerationRequest
from trainer.grpo.breaker import FaultBreaker
from trainer.grpo.buffer import GroupBuffer
from trainer.grpo.credit import teaches
from trainer.grpo.curriculum import Curriculum, History
from trainer.grpo.group import Group, Sample
from trainer.grpo.refill import Refill
from trainer.grpo.settings import GrpoSettings
from trainer.grpo.task_order import TaskSource
from trainer.tasks.task import Task


class Sampler(Protocol):
    """What samples: a `rollout.pool.RolloutPool`."""

    def generate(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        """Yield each request's completion as it ends."""
        ...


class Judging(Protocol):
    """Who judges: a `reward_farm.pool.RewardFarm`."""

    async def judge(self, submission: Submission) -> Verdict:
        """The verdict on one submission."""
        ...


class Talking(Protocol):
    """Between tasks and token ids: a `trainer.grpo.asking.Asking`."""

    def prompt_ids(self, task: Task) -> tuple[int, ...]:
        """Token ids of what the policy goes on after."""
        ...

    def text(self, token_ids: Sequence[int]) -> str:
        """Text of a completion, without the end-of-text token."""
        ...

    def source(self, task: Task, text: str) -> str:
        """The file to judge."""
        ...


_attempts = itertools.count()
"""Of the whole process: a farm outlives a collector, and takes no id twice for another text."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the sequence of tasks stands: the next index, those begun but not yet trained on, and the curriculum's
    memory.
    """

    next_index: int = 0
    unfinished: tuple[int, ...] = ()
    history: History = field(default_factory=dict)


class Collector:
    """See the module. `start` begins; `take` and `advance` alternate."""

    def __init__(
        self,
        *,
        sampler: Sampler,
        farm: Judging,
        asking: Talking,
        tasks: TaskSource,
        settings: GrpoSettings,
        version: int,
        cursor: Cursor,
    ) -> None:
        self._sampler, self._farm, self._asking, self._source, self._settings = sampler, farm, asking, tasks, settings
        self._buffer: GroupBuffer[Group] = GroupBuffer(
            prompts_per_step=settings.prompts_per_step, max_lag=settings.max_lag, version=version
        )
        self._breaker = FaultBreaker(settings.max_fault_share)
        self._next_index = cursor.next_index
        self._again = sorted(cursor.unfinished)
        self._curriculum = Curriculum(settings.group_size, settings.seed, cursor.history)
        self._refill = Refill(settings.refill_groups, exact=settings.max_lag == 0)
        self._taken: list[Group] = []
        self._open: dict[int, int] = {}
        self._making: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self.discarded = 0
        """Groups given up because fewer than two completions could be judged."""
        self.skipped = 0
        """Draws that the curriculum skipped."""

    @property
    def cursor(self) -> Cursor:
        """What a checkpoint must keep."""
        # Given-up groups of a step that isn't trained yet are sampled again: only so does it end as it would have.
        given_up = [group.index for group in self._refill.given_up]
        unfinished = sorted([*self._again, *self._open.values(), *given_up])
        return Cursor(self._next_index, tuple(unfinished), self._curriculum.history)

    @property
    def filtered(self) -> list[Group]:
        """Groups that this step gave up because they teach nothing."""
        return list(self._refill.given_up)

    @property
    def progress(self) -> str:
        """How far the step's groups are, in words."""
        return (
            f"{self._buffer.done} groups done, {self._buffer.making} in the making, {self.discarded} discarded so far"
        )

    async def start(self) -> None:
        """Fill every slot; where they are, nothing."""
        self._fill()

    async def take(self) -> list[Group]:
        """The next step's groups by index, as soon as they are complete. Raises what broke sampling or judging."""
        while True:
            if self._error is not None:
                raise self._error
            groups = self._buffer.take()
            if groups is not None:
                self._taken = sorted(groups, key=lambda group: group.index)
                return self._taken
            self._changed.clear()
            await self._changed.wait()

    async def advance(self, version: int) -> None:
        """The taken groups were trained on, and the sampler now serves `version`."""
        if self._settings.curriculum:
            self._curriculum.observe([*self._taken, *self._refill.given_up])
        self._taken = []
        self._refill.reset()
        self._buffer.advance(version)
        live = self._buffer.tickets
        self._open = {ticket: index for ticket, index in self._open.items() if ticket in live}
        self._fill()

    async def recover(self) -> None:
        """Go on after an error whose cause is mended: the groups that it broke are asked for again."""
        self._error = None
        self._fill()

    async def sample(self, tasks: Iterable[Task], samples: int, label: str) -> list[Group]:
        """Sample and judge `samples` completions of each task, beside the buffer: for evaluation, never trained on."""
        return list(
            await asyncio.gather(*(self._group(index, task, samples, label) for index, task in enumerate(tasks)))
        )

    async def close(self) -> None:
        """Cancel every group in the making, and start no more."""
        self._closed = True
        for task in list(self._making):
            task.cancel()
        await asyncio.gather(*self._making, return_exceptions=True)

    def _fill(self) -> None:
        while self._buffer.free and not (self._error or self._closed):
            index = self._again.pop(0) if self._again else self._draw()
            ticket = self._buffer.open()
            self._open[ticket] = index
            task = asyncio.get_running_loop().create_task(self._make(ticket, index))
            self._making.add(task)
            task.add_done_callback(self._making.discard)

    def _draw(self) -> int:
        index = self._next_index
        while self._settings.curriculum and not self._curriculum.accepts(index, self._source.task(index).id):
            index += 1
            self.skipped += 1
        self._next_index = index + 1
        return index

    async def _make(self, ticket: int, index: int) -> None:
        try:
            group = await self._group(index, self._source.task(index), self._settings.group_size, "train")
            self._breaker.record(sample.verdict for sample in group.samples)
        except (Exception, asyncio.CancelledError) as error:
            self._give_up(ticket)
            self._again = sorted([*self._again, index])
            if isinstance(error, asyncio.CancelledError):
                raise
            self._error = self._error or error
        else:
            if group.valid_G.sum() < 2:
                self._give_up(ticket)
                self.discarded += 1
            else:
                self._finish(ticket, group)
        self._changed.set()
        self._fill()

    def _finish(self, ticket: int, group: Group) -> None:
        kept = group if teaches(group, self._settings) else self._refill.offer(group)
        if kept is None:
            self._give_up(ticket)
        else:
            self._open[ticket] = kept.index
            self._buffer.finish(ticket, kept)

    def _give_up(self, ticket: int) -> None:
        self._buffer.release(ticket)
        del self._open[ticket]

    async def _group(self, index: int, task: Task, size: int, label: str) -> Group:
        attempt = next(_attempts)
        prompt_ids = self._asking.prompt_ids(task)
        requests = [
            GenerationRequest(
                id=f"{label}-{index}-{attempt}-{place}",
                prompt_ids=prompt_ids,
                max_tokens=self._settings.max_completion_tokens,
                temperature=self._settings.temperature,
                seed=request_seed(self._settings.seed, label, index, place),
            )
            for place in range(size)
        ]
        judging: dict[str, asyncio.Task[Sample]] = {}
        try:
            async for completion in self._sampler.generate(requests):
                judging[completion.id] = asyncio.create_task(self._judge(task, completion))
            samples = [await judging[request.id] for request in requests]
        finally:
            for verdict in judging.values():
                verdict.cancel()
        return Group(index, task, tuple(samples))

    async def _judge(self, task: Task, completion: Completion) -> Sample:
        text = self._asking.text(completion.token_ids)
        source = self._asking.source(task, text)
        verdict = await self._farm.judge(Submission(completion.id, source, task.problem))
        return Sample(completion, text, verdict, source)


def request_seed(seed: int, label: str, index: int, place: int) -> int:
    """A 31-bit seed of one completion: the same when a killed run asks for it again."""
    digest = hashlib.blake2b(f"{seed}/{label}/{index}/{place}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1
