"""Completions are handed over many at a time, and none is lost, doubled or waited for in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from rollout import outbox
from rollout.errors import RequestFailed
from rollout.outbox import Outbox, Outcome
from rollout.types import Completion, GenerationRequest, VersionSpan


async def generate(request: GenerationRequest) -> Completion:
    """Takes as many milliseconds as tokens are asked for; a request named `bad` can't be served."""
    await asyncio.sleep(request.max_tokens / 1000)
    if request.id == "bad":
        raise ValueError("no such token")
    return Completion(request.id, request.prompt_ids, (1,), (0.0,), "stop", (VersionSpan(0, 0, 1),))


def wanted(lengths: Iterable[int]) -> list[tuple[int, GenerationRequest]]:
    return [(ticket, GenerationRequest(f"r{ticket}", (1,), length)) for ticket, length in enumerate(lengths)]


async def all_of(box: Outbox, count: int) -> list[list[tuple[int, Outcome]]]:
    calls: list[list[tuple[int, Outcome]]] = []
    while sum(map(len, calls)) < count:
        calls.append(await box.finished())
    return calls


def test_every_request_comes_out_once_and_few_calls_carry_many() -> None:
    async def scenario() -> list[list[tuple[int, Outcome]]]:
        box = Outbox(generate)
        box.submit(wanted([20 + i % 3 for i in range(200)]))
        return await asyncio.wait_for(all_of(box, 200), 10)

    calls = asyncio.run(scenario())
    assert sorted(ticket for call in calls for ticket, _ in call) == list(range(200))
    assert len(calls) < 20
    outcome = calls[0][0][1]
    assert isinstance(outcome, Completion)
    assert 0.02 <= outcome.seconds < 5


def test_a_request_alone_is_not_kept_waiting_and_silence_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        box = Outbox(generate)
        assert await box.finished() == []
        monkeypatch.setattr(outbox, "GATHER_SECONDS", 60)
        box.submit(wanted([1]))
        assert len(await asyncio.wait_for(box.finished(), 5)) == 1

    monkeypatch.setattr(outbox, "HEARTBEAT_SECONDS", 0.05)
    asyncio.run(scenario())


def test_an_abandoned_request_is_cancelled_and_a_failed_one_says_why() -> None:
    async def scenario() -> None:
        box = Outbox(generate)
        box.submit(wanted([60_000, 1]))
        box.submit([(7, GenerationRequest("bad", (1,), 1))])
        box.abandon([0, 99])
        calls = await asyncio.wait_for(all_of(box, 2), 5)
        done = dict(item for call in calls for item in call)
        assert done.keys() == {1, 7}
        failed = done[7]
        assert isinstance(failed, RequestFailed)
        assert str(failed) == "request bad: ValueError: no such token"
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1, "the abandoned request is still under way"

    asyncio.run(scenario())
