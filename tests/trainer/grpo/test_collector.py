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
from trainer.tasks.task import Task

EOS = 0


class Numbers:
    """The index-th task is add-<index>."""

    fingerprint = "numbers"

    def task(self, index: int):
        return make_task(index)


class Bytes:
    """A byte is a token."""

    def prompt_ids(self, task: Task) -> tuple[int, ...]:
        return tuple(task.prompt.encode())

    def text(self, token_ids: Sequence[int]) -> str:
        return bytes(token for token in token_ids if token != EOS).decode()

    def source(self, task: Task, text: str) -> str:
        return task.source(text)


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
        asking=Bytes(),
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


def flat_world(flat: set[int]) -> Scripted:
    world = Scripted()
    world.rewards = {f"add_{n}": [3.0] for n in flat}
    return world


@pytest.mark.parametrize("slow", [None, 0, 1, 2, 3])
def test_a_group_that_teaches_nothing_is_replaced_whatever_ends_first(slow):
    async def scenario():
        world = flat_world({0, 2, 3, 4})
        judge = world.judge

        async def judge_late(submission: Submission) -> Verdict:
            if submission.problem.entry == f"add_{slow}":
                await asyncio.sleep(0.02)
            return await judge(submission)

        world.judge = judge_late
        collector = make(world, prompts_per_step=3, refill_groups=2)
        await collector.start()
        groups = await collector.take()
        assert [group.index for group in groups] == [1, 3, 4], "indices 0 and 2 are given up, the bound keeps 3 and 4"
        assert sorted(group.index for group in collector.filtered) == [0, 2]
        await collector.advance(1)
        assert collector.filtered == []
        assert [group.index for group in await collector.take()] == [5, 6, 7], "slots are free again"
        await collector.close()

    run(scenario())


def test_a_step_cut_off_while_it_was_refilled_ends_the_same_when_resumed():
    async def scenario():
        world = flat_world({0, 2})
        collector = make(world, refill_groups=1)
        await collector.start()
        while not collector.filtered:
            await asyncio.sleep(0)
        cursor = collector.cursor
        await collector.close()
        assert cursor == Cursor(3, (0, 1, 2))
        again = make(flat_world({0, 2}), cursor, refill_groups=1)
        await again.start()
        assert [group.index for group in await again.take()] == [1, 2]
        await again.close()

    run(scenario())


@pytest.mark.parametrize("max_lag", [0, 1])
def test_refilling_ends_and_every_step_has_its_groups(max_lag):
    async def scenario():
        world = flat_world(set(range(1000)))
        collector = make(world, max_lag=max_lag, refill_groups=3)
        await collector.start()
        for version in range(1, 5):
            world_step = await asyncio.wait_for(collector.take(), 5)
            assert len(world_step) == 2
            assert len(collector.filtered) <= 3
            world.version = version
            await collector.advance(version)
        await collector.close()

    run(scenario())


def test_the_curriculum_skips_mastered_tasks_and_resumes_where_it_was():
    class Ten(Numbers):
        def task(self, index: int):
            return make_task(index % 10)

    def world_and_collector(cursor: Cursor, version: int) -> tuple[Scripted, Collector]:
        world = Scripted()
        world.version = version
        world.rewards = {f"add_{n}": [12.0] for n in range(8)}
        values = {"prompts_per_step": 5, "group_size": 8, "max_lag": 0, "max_completion_tokens": 8, "curriculum": True}
        return world, Collector(
            sampler=world, farm=world, asking=Bytes(), tasks=Ten(), settings=GrpoSettings(**values), version=version,
            cursor=cursor,
        )  # fmt: skip

    async def scenario():
        _, collector = world_and_collector(Cursor(), 0)
        await collector.start()
        whole: list[int] = []
        middle = Cursor()
        for version in range(1, 9):
            if version == 5:
                middle = collector.cursor
            whole += await step(collector, version)
        await collector.close()
        mixed = sum(index % 10 >= 8 for index in whole[10:])
        assert mixed > 0.3 * len(whole[10:]), "a fifth of the tasks, and more of the draws"
        assert collector.skipped > 0
        _, resumed = world_and_collector(middle, 4)
        await resumed.start()
        rest = [index for version in range(5, 9) for index in await step(resumed, version)]
        await resumed.close()
        assert rest == whole[20:]
        assert resumed.cursor == collector.cursor

    run(scenario())
