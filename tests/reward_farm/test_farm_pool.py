"""The Ray pool: verdicts stream, a killed worker loses nothing, errors keep their type, the queue is bounded."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle

from reward_farm.errors import (
    BadValue,
    BreakerOpen,
    DeadlineExceeded,
    FarmClosed,
    IdConflict,
    Overloaded,
    SandboxFault,
    SandboxUnavailable,
)
from reward_farm.pool import RewardFarm
from reward_farm.problem import Case, Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Outcome, RewardBreakdown, Scored, Verdict

pytestmark = pytest.mark.usefixtures("cluster")

SQUARE = Problem("solve", ("i64",), "i64", (Case((2,), 4), Case((3,), 9)))


def submission(number: int, body: str = "x * x") -> Submission:
    return Submission(f"s{number}", f"pub fn solve(x: i64) -> i64 {{ {body} }} // {number}", SQUARE)


@pytest.fixture(scope="module")
def pooled(settings: FarmSettings) -> FarmSettings:
    return settings.model_copy(update={"workers": 2, "max_batch": 4})


def worker_pids(farm: RewardFarm) -> list[int]:
    return [ray.get(worker.__ray_call__.remote(lambda _: os.getpid()), timeout=60) for worker in farm._workers]


async def in_worker(farm: RewardFarm, change: Callable[[Any], None]) -> None:
    """Do something to the farm's first worker. Ray would pickle functions of this file by a name that it can't find."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    await farm._workers[0].__ray_call__.remote(change)


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def break_disk(worker: Any) -> None:
    sandbox = worker._judge._sandbox
    sandbox.settings = sandbox.settings.model_copy(update={"scratch_dir": "/nowhere"})


def mend_disk(worker: Any) -> None:
    worker._judge._sandbox.settings = worker._settings


def call_it_all_passed(worker: Any) -> None:
    worker._judge.judge = lambda batch: [Scored(each.id, Outcome.PASSED, RewardBreakdown()) for each in batch]


def test_verdicts_stream_as_workers_finish(pooled: FarmSettings) -> None:
    async def run() -> tuple[dict[str, Verdict], list[int]]:
        farm = RewardFarm(pooled)
        seen: list[int] = []

        async def judge(number: int) -> Verdict:
            verdict = await farm.judge(submission(number, "x * x" if number % 3 else "x + 2"))
            seen.append(farm.stats().waiting)
            return verdict

        try:
            verdicts = await asyncio.wait_for(asyncio.gather(*(judge(number) for number in range(24))), 120)
            stats = farm.stats()
        finally:
            await farm.close()
        assert (stats.verdicts, stats.faults, stats.waiting) == (24, 0, 0)
        assert stats.outcomes == {"passed": 16, "test_failed": 8}
        assert stats.worker_seconds > 0
        return {verdict.id: verdict for verdict in verdicts}, seen

    verdicts, waiting = asyncio.run(run())
    assert set(verdicts) == {f"s{number}" for number in range(24)}
    assert max(waiting) >= 8, "the first verdicts came while others still waited"


def test_a_killed_worker_loses_nothing(pooled: FarmSettings) -> None:
    async def run() -> tuple[list[Verdict], int]:
        farm = RewardFarm(pooled)
        try:
            await asyncio.wait_for(farm.judge(submission(0)), 120)
            first, _ = worker_pids(farm)
            slow = "let mut n = 0u64; while n < 3_000_000 { n += 1; } x * x"
            judging = asyncio.ensure_future(farm.judge_many([submission(number, slow) for number in range(1, 33)]))
            await asyncio.sleep(0.3)
            os.kill(first, signal.SIGKILL)
            verdicts = await asyncio.wait_for(judging, 150)
            return verdicts, farm.stats().retries
        finally:
            await farm.close()

    verdicts, retries = asyncio.run(run())
    assert [verdict.id for verdict in verdicts] == [f"s{number}" for number in range(1, 33)]
    assert all(isinstance(verdict, Scored) and verdict.outcome is Outcome.PASSED for verdict in verdicts)
    assert 1 <= retries <= 4, "the killed worker's batch went again, and only that"


def test_a_fault_that_stays_is_given_up_after_two_retries(pooled: FarmSettings) -> None:
    async def run() -> tuple[Verdict, int, int]:
        farm = RewardFarm(pooled.model_copy(update={"workers": 1}))
        try:
            await asyncio.wait_for(farm.judge(submission(0)), 120)

            await in_worker(farm, break_disk)
            verdict = await asyncio.wait_for(farm.judge(submission(1)), 60)
            return verdict, farm.stats().retries, farm.stats().faults
        finally:
            await farm.close()

    verdict, retries, faults = asyncio.run(run())
    assert isinstance(verdict, InfraFault)
    assert "/nowhere" in verdict.reason
    assert (retries, faults) == (2, 1)


def test_where_no_worker_can_judge_the_error_says_why(pooled: FarmSettings) -> None:
    async def run() -> None:
        farm = RewardFarm(pooled.model_copy(update={"bwrap": "/nowhere/bwrap"}))
        try:
            for number in range(2):
                with pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap"):
                    await asyncio.wait_for(farm.judge(submission(number)), 120)
        finally:
            await farm.close()

    asyncio.run(run())


def test_the_queue_is_bounded_and_a_bad_problem_hurts_only_its_caller(pooled: FarmSettings) -> None:
    async def run() -> None:
        farm = RewardFarm(pooled.model_copy(update={"max_queue": 3, "workers": 1}))
        malformed = Submission("bad", "pub fn f() {}", Problem("f", ("u8",), "u8", (Case((-1,), 0),)))
        judging = [asyncio.ensure_future(farm.judge(submission(number))) for number in range(3)]
        await asyncio.sleep(0)
        try:
            with pytest.raises(Overloaded, match="max_queue"):
                await farm.judge(submission(9))
            with pytest.raises(BadValue):
                await farm.judge(malformed)
            assert all(isinstance(verdict, Scored) for verdict in await asyncio.wait_for(asyncio.gather(*judging), 120))
        finally:
            started = time.monotonic()
            await farm.close()
        assert time.monotonic() - started < 20
        with pytest.raises(FarmClosed):
            await farm.judge(submission(1))

    asyncio.run(run())


def test_one_id_is_one_verdict_and_deadlines_hold(pooled: FarmSettings) -> None:
    async def run() -> None:
        farm = RewardFarm(pooled.model_copy(update={"workers": 1, "test_cpu_seconds": 2.0}))
        try:
            twice = asyncio.gather(farm.judge(submission(0)), farm.judge(submission(0)))
            one, two = await asyncio.wait_for(twice, 120)
            assert one is two is await farm.judge(submission(0))
            with pytest.raises(IdConflict, match="'s0' was submitted before"):
                await farm.judge(submission(0, "x + 1"))
            assert farm.stats().verdicts == 1

            endless = submission(1, "loop {}")
            with pytest.raises(DeadlineExceeded, match="'s1' in time; it is still in a worker"):
                await farm.judge(endless, deadline_seconds=0.5)
            with pytest.raises(DeadlineExceeded, match="'s2' in time; it is still in the queue"):
                await farm.judge(submission(2), deadline_seconds=0.1)
            group = [endless, submission(3), submission(4, "x"), submission(2)]
            streamed = {place: verdict async for place, verdict in farm.stream(group)}
            assert [verdict.outcome for _, verdict in sorted(streamed.items()) if isinstance(verdict, Scored)] == [
                Outcome.TEST_TIMEOUT, Outcome.PASSED, Outcome.TEST_FAILED, Outcome.PASSED,
            ]  # fmt: skip
            assert farm.stats().waiting == 0
        finally:
            await farm.close()

    asyncio.run(run())


def test_workers_are_replaced_after_their_share_and_leave_nothing(pooled: FarmSettings, tmp_path: Path) -> None:
    async def run() -> None:
        farm = RewardFarm(pooled.model_copy(update={"workers": 1, "recycle_after": 4, "scratch_dir": tmp_path}))
        try:
            seen = set()
            for turn in range(3):
                group = [submission(4 * turn + number) for number in range(4)]
                assert all(
                    isinstance(verdict, Scored) for verdict in await asyncio.wait_for(farm.judge_many(group), 120)
                )
                seen |= {path.name for path in tmp_path.iterdir()}
            stats = farm.stats()
            assert (stats.verdicts, stats.retries, stats.faults) == (12, 0, 0)
            assert stats.recycled >= 2 and len(seen) >= 2, "each process has a folder of its own"
            assert b'ferrotype_farm_recycled_total{why="age"}' in farm.metrics.exposition()
        finally:
            await farm.close()
        assert not list(tmp_path.iterdir())

    asyncio.run(run())


def test_a_worker_that_fails_its_canary_is_replaced_and_its_verdicts_are_suspect(
    pooled: FarmSettings, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        farm = RewardFarm(pooled.model_copy(update={"workers": 1, "canary_seconds": 1.5}))
        wrong = submission(1, "x + 1")
        try:
            assert isinstance(await asyncio.wait_for(farm.judge(submission(0)), 120), Scored)
            await until(lambda: not farm._seats[0].unproved)  # a check that it passes: s0 is proved
            await in_worker(farm, call_it_all_passed)
            lie = await asyncio.wait_for(farm.judge(wrong), 60)
            assert isinstance(lie, Scored) and lie.passed
            await until(lambda: farm.suspects)
            assert farm.suspects == ("s1",)
            truth = await asyncio.wait_for(farm.judge(wrong), 120)
            assert isinstance(truth, Scored) and truth.outcome is Outcome.TEST_FAILED
            assert (farm.stats().suspects, farm.stats().recycled) == (1, 1)
        finally:
            await farm.close()

    asyncio.run(run())
    assert "worker 0 failed a health check (the liar canary was judged passed, and is test_failed)" in caplog.text
    assert "1 verdicts are suspect: s1" in caplog.text


def test_a_farm_that_only_fails_opens_its_breaker_and_tries_again(pooled: FarmSettings) -> None:
    async def run() -> None:
        farm = RewardFarm(pooled.model_copy(update={"workers": 1, "breaker_seconds": 1.5}))
        try:
            assert isinstance(await asyncio.wait_for(farm.judge(submission(0)), 120), Scored)
            await in_worker(farm, break_disk)
            judging = [farm.judge(submission(number)) for number in range(1, 60)]
            got = await asyncio.wait_for(asyncio.gather(*judging, return_exceptions=True), 60)
            faults = [each for each in got if isinstance(each, InfraFault)]
            refused = [each for each in got if isinstance(each, BreakerOpen)]
            assert len(faults) >= 15 and refused and len(faults) + len(refused) == 59
            assert isinstance(farm.refusal, BreakerOpen)
            with pytest.raises(BreakerOpen, match=r"/nowhere.*`ferrotype doctor`") as caught:
                await farm.judge(submission(1))
            assert 0 < caught.value.retry_after <= 1.5
            await in_worker(farm, mend_disk)
            await asyncio.sleep(1.6)
            assert isinstance(await asyncio.wait_for(farm.judge(submission(1)), 60), Scored)
            assert farm.refusal is None
        finally:
            await farm.close()

    asyncio.run(run())


def test_workers_go_only_where_the_resource_is(pooled: FarmSettings) -> None:
    async def placed() -> tuple[Verdict, float]:
        farm = RewardFarm(pooled.model_copy(update={"workers": 1, "node_resource": "compiler"}))
        try:
            verdict = await asyncio.wait_for(farm.judge(submission(0)), 120)
            return verdict, ray.available_resources().get("compiler", 0.0)
        finally:
            await farm.close()

    async def nowhere() -> None:
        settings = {"workers": 1, "node_resource": "no-node-has-it", "start_seconds": 1.0}
        farm = RewardFarm(pooled.model_copy(update=settings))
        try:
            await asyncio.wait_for(farm.judge(submission(0)), 60)
        finally:
            await farm.close()

    verdict, left = asyncio.run(placed())
    assert isinstance(verdict, Scored) and verdict.outcome is Outcome.PASSED
    assert left == 0, "the worker holds it"
    with pytest.raises(SandboxFault, match=r"did not start within 1 s"):
        asyncio.run(nowhere())
