"""Engines that die or hang: no request is lost, no unproved weights serve, and what can be started anew is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import psutil
import pytest

from rollout.errors import NoReplicaLeft
from rollout.health import ReplicaState
from rollout.pool import RolloutPool
from tests.rollout.conftest import (
    SETTINGS,
    Stage,
    collect,
    engines,
    engines_left,
    reference_greedy,
    requests,
    weights_of,
)


def states(pool: RolloutPool) -> list[str]:
    return sorted(state.split()[0] for state in pool.health.values())


async def until(pool: RolloutPool, wanted: Iterable[str], seconds: float = 120) -> None:
    """Wait until the replicas are in these states."""
    deadline = time.monotonic() + seconds
    while states(pool) != sorted(wanted):
        assert time.monotonic() < deadline, pool.health
        await asyncio.sleep(0.05)


async def killed_amid_a_push(stage: Stage) -> int:
    """Kills an engine that samples, and is pushed weights; returns how many of 24 requests ended."""
    task = asyncio.create_task(collect(stage.pool, requests(24, max_tokens=200)))
    await asyncio.sleep(0.1)
    push = asyncio.create_task(stage.pool.push(weights_of(stage.old), 1))
    while not any(replica._pushing for replica in stage.pool._replicas):
        await asyncio.sleep(0)
    victim().kill()
    assert len((await asyncio.wait_for(push, 60)).proved) == 1
    return len(await asyncio.wait_for(task, 120))


def victim() -> psutil.Process:
    return engines()[0]


def test_an_engine_that_hangs_gets_no_prompt_and_holds_up_no_push(stage: Stage) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(collect(stage.pool, requests(24, max_tokens=200)))
        await asyncio.sleep(0.1)
        hanging.suspend()
        await until(stage.pool, ["healthy", "suspect"], 30)
        assert "no sign of life for 3 s" in "".join(stage.pool.health.values())
        assert len(await asyncio.wait_for(collect(stage.pool, requests(4, 8)), 30)) == 4
        assert not task.done(), "it keeps what it has"
        report = await asyncio.wait_for(stage.pool.push(weights_of(stage.new), 2), SETTINGS.push_deadline_seconds / 2)
        assert (len(report.proved), states(stage.pool)) == (1, ["healthy", "stale"])
        assert len(await asyncio.wait_for(task, 60)) == 24, "as long as that holds up nobody"
        hanging.resume()
        while any(replica.hangs for replica in stage.pool._replicas):
            await asyncio.sleep(0.05)

    stage.push(stage.old, 1)
    hanging = victim()
    try:
        stage.run(scenario())
    finally:
        hanging.resume()
    stage.push(stage.old, 3)


def test_an_engine_that_answers_and_samples_nothing_is_suspect_too(stage: Stage) -> None:
    async def scenario() -> None:
        (standing, _) = stage.pool._replicas
        await standing._actor.pause.remote()
        task = asyncio.create_task(collect(stage.pool, requests(24, max_tokens=200)))
        await until(stage.pool, ["healthy", "suspect"], 30)
        assert "its requests make no progress for 3 s" in stage.pool.health[0]
        await standing._actor.resume.remote()
        assert len(await asyncio.wait_for(task, 120)) == 24
        await until(stage.pool, ["healthy", "healthy"], 30)

    stage.push(stage.old, 1)
    stage.pool.take_events()
    stage.run(scenario())
    first, second = stage.pool.take_events()
    assert first.startswith("rollout replica 0 was healthy and is suspect (its requests make no progress for 3 s)")
    assert second == "rollout replica 0 was suspect and is healthy"


def test_a_dead_engine_loses_no_request_and_comes_back_with_the_next_push(stage: Stage) -> None:
    stage.push(stage.old, 1)
    stage.pool.take_events()
    assert stage.run(killed_amid_a_push(stage)) == 24
    assert states(stage.pool) == ["healthy", "restarting"]
    assert len(stage.run(collect(stage.pool, requests(4, 8)))) == 4, "the other one serves meanwhile"

    (other,) = (replica for replica in stage.pool._replicas if replica.health.serves)
    other.health.state = ReplicaState.RETIRED  # by hand; from now on nobody watches it
    report = stage.run(stage.pool.push(weights_of(stage.new), 2))
    assert report.proved == (1 - other.index,), "with no other left, a push waits for the one that comes back"
    told = stage.pool.take_events()
    assert [event.split(" (")[0].split(" and is ")[1] for event in told] == ["dead", "restarting", "stale", "healthy"]
    other.health.state = ReplicaState.STALE
    stage.push(stage.new, 2)
    assert states(stage.pool) == ["healthy", "healthy"]
    assert engines_left(2)
    for completion in stage.run(collect(stage.pool, requests(8, 32, temperature=0.0))).values():
        assert completion.token_ids == reference_greedy(stage.new, completion.prompt_ids, 32)
        assert completion.oldest_version == 2


def test_whoever_dies_too_often_is_not_started_again(stage: Stage) -> None:
    """The budget is used up by hand: its own deaths would take minutes."""
    stage.push(stage.old, 1)
    healths = [replica.health for replica in stage.pool._replicas]
    for health in healths:
        health.state = ReplicaState.RETIRED
    with pytest.raises(NoReplicaLeft, match=r"no rollout replica is left: replica 0 is retired.*rollout\.max_restarts"):
        stage.run(collect(stage.pool, requests(1, 4)))
    with pytest.raises(NoReplicaLeft):
        stage.run(stage.pool.push({}, 2))
    for health in healths:
        health.state = ReplicaState.STALE
    stage.push(stage.old, 3)
