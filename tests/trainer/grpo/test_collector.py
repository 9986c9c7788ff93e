"""The collector with a sampler and a judge that do as they are told: order, faults, errors, resuming, shutting down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from grpo_builders import make_completion, make_task, verdict_of

from reward_farm.problem import Submission
from reward_farm.verdict import Verdict
from rollout.types import Completion, GenerationRequest
from trainer.grpo.collector import Collector, Cursor
from trainer.grpo.errors import TooManyFaults
from trainer.grpo.settings import GrpoSettings

EOS = 0


class Numbers:
    """The index-th task is add-<index>."""

    fingerprint = "numbers"

    def task(self, index: int):
        return make_task(index)


class Bytes:
    """A byte is a token."""

    eos_token_id = EOS

    def encode(self, prompt: str) -> tuple[int, ...]:
        return tuple(prompt.encode())

    def decode(self, token_ids: Sequence[int]) -> str:
        return bytes(token_ids).decode()


class Scripted:
    """Samples "ok" and end-of-text, last request first; the reward is what `rewards` says of the task's number."""

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []
        self.submissions: list[Submission] = []
        self.version = 0
        self.rewards: dict[str, list[float | None]] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.running = 0

    async def generate(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        self.requests += requests
        self.running += 1
        try:
            await self.gate.wait()
            for request in reversed(requests):
                await asyncio.sleep(0)
                if self.error is not None:
                    raise self.error
                yield make_completion(request.id, request.prompt_ids, [*b"ok", EOS], version=self.version)
        finally:
            self.running -= 1

    async def judge(self, submission: Submission) -> Verdict:
        self.submissions.append(submission)
        rewards = self.rewards.get(submission.problem.entry, [0.0, 12.0])
        return verdict_of(submission.id, rewards[int(submission.id.rsplit("-", 1)[1]) % len(rewards)])


def make(world: Scripted, cursor: Cursor = Cursor(), version: int = 0, **settings) -> Collector:  # noqa: B008
    values = {"prompts_per_step": 2, "group_size": 2, "max_lag": 0, "max_completion_tokens": 8} | settings
    return Collector(
        sampler=world,
        farm=world,
        codec=Bytes(),
        tasks=Numbers(),
        settings=GrpoSettings(**values),
        version=version,
        cursor=cursor,
    )


async def step(collector: Collector, version: int) -> list[int]:
    groups = await asyncio.wait_for(collector.take(), 5)
    await collector.advance(version)
    return [group.index for group in groups]


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 10))


def test_groups_come_in_order_and_completions_become_source_text():
    async def scenario():
        world = Scripted()
        collector = make(world)
        await collector.start()
        (first, second) = await collector.take()
        assert (first.index, second.index) == (0, 1)
        assert first.rewards_G.tolist() == [0.0, 12.0], "samples are in the order of their requests"
        assert first.samples[0].text == "ok", "end-of-text is not source text"
        sources = {s.source for s in world.submissions if s.problem.entry == "add_0"}
        assert sources == {make_task(0).prompt + "ok"}
        assert len({request.id for request in world.requests}) == 4
        assert len({request.seed for request in world.requests}) == 4
        await collector.close()

    run(scenario())


def test_without_lag_nothing_is_sampled_while_the_learner_works():
    async def scenario():
        world = Scripted()
        collector = make(world)
        await collector.start()
        await collector.take()
        await asyncio.sleep(0.01)
        assert len(world.requests) == 4
        await collector.advance(1)
        await asyncio.sleep(0.01)
        assert len(world.requests) == 8
        await collector.close()

    run(scenario())


def test_with_lag_the_next_groups_are_sampled_while_the_learner_works():
    async def scenario():
        world = Scripted()
        collector = make(world, max_lag=1)
        await collector.start()
        assert await step(collector, 1) == [0, 1]
        assert await step(collector, 2) == [2, 3]
        assert collector.cursor == Cursor(8, (4, 5, 6, 7))
        await collector.close()

    run(scenario())


def test_a_fault_leaves_its_group_and_a_group_of_faults_is_replaced():
    async def scenario():
        world = Scripted()
        world.rewards = {"add_0": [None, None], "add_1": [3.0, None, 9.0]}
        collector = make(world, group_size=3, max_fault_share=0.9)
        await collector.start()
        groups = await collector.take()
        assert [group.index for group in groups] == [1, 2]
        assert groups[0].valid_G.tolist() == [True, False, True]
        assert collector.discarded == 1
        await collector.close()

    run(scenario())


def test_too_many_faults_stop_the_run_and_say_why():
    async def scenario():
        world = Scripted()
        world.rewards = {f"add_{n}": [None, 1.0] for n in range(100)}
        collector = make(world, prompts_per_step=20)
        await collector.start()
        with pytest.raises(TooManyFaults, match=r"16 of the last 32 completions .*16 times: the worker died"):
            await collector.take()
        await collector.close()

    run(scenario())


def test_an_error_reaches_the_learner_and_its_groups_are_asked_for_again():
    async def scenario():
        world = Scripted()
        world.error = ConnectionError("no replica")
        collector = make(world)
        await collector.start()
        with pytest.raises(ConnectionError):
            await collector.take()
        await asyncio.sleep(0.01)
        asked = len(world.requests)
        assert collector.cursor == Cursor(2, (0, 1))
        world.error = None
        await collector.recover()
        assert await step(collector, 1) == [0, 1]
        assert [r.seed for r in world.requests[:asked]] == [r.seed for r in world.requests[asked : 2 * asked]]
        await collector.close()

    run(scenario())


def test_a_resumed_run_asks_first_for_what_was_in_flight():
    async def scenario():
        world = Scripted()
        collector = make(world, Cursor(7, (3, 5)), version=4)
        await collector.start()
        assert await step(collector, 5) == [3, 5]
        assert await step(collector, 6) == [7, 8]
        await collector.close()

    run(scenario())


def test_closing_ends_every_request_and_starts_no_more():
    async def scenario():
        world = Scripted()
        world.gate.clear()
        collector = make(world, max_lag=1)
        await collector.start()
        await asyncio.sleep(0.01)
        assert world.running == 4
        await collector.close()
        assert world.running == 0
        assert len(world.requests) == 8
        assert collector.cursor == Cursor(4, (0, 1, 2, 3))

    run(scenario())


def test_evaluation_samples_beside_the_buffer():
    async def scenario():
        world = Scripted()
        collector = make(world)
        groups = await collector.sample([make_task(50), make_task(51)], 3, "unseen")
        assert [len(group.samples) for group in groups] == [3, 3]
        assert collector.cursor == Cursor(0, ())
        await collector.close()

    run(scenario())
