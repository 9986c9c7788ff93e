"""The Ray pool: verdicts stream, a killed worker loses nothing, errors keep their type, the queue is bounded."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
import ray

from reward_farm.errors import BadValue, FarmClosed, Overloaded, SandboxUnavailable
from reward_farm.pool import RewardFarm
from reward_farm.problem import Case, Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Outcome, Scored, Verdict

pytestmark = pytest.mark.usefixtures("cluster")

SQUARE = Problem("solve", ("i64",), "i64", (Case((2,), 4), Case((3,), 9)))


def submission(number: int, body: str = "x * x") -> Submission:
    return Submission(f"s{number}", f"pub fn solve(x: i64) -> i64 {{ {body} }} // {number}", SQUARE)


@pytest.fixture(scope="module")
def pooled(settings: FarmSettings) -> FarmSettings:
    return settings.model_copy(update={"workers": 2, "max_batch": 4})


def worker_pids(farm: RewardFarm) -> list[int]:
    return [ray.get(worker.__ray_call__.remote(lambda _: os.getpid()), timeout=60) for worker in farm._workers]


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

            def break_disk(worker: object) -> None:
                sandbox = worker._judge._sandbox  # type: ignore[attr-defined]
                sandbox.settings = sandbox.settings.model_copy(update={"scratch_dir": "/nowhere"})

            await farm._workers[0].__ray_call__.remote(break_disk)
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
        assert time.monotonic() - started < 5
        with pytest.raises(FarmClosed):
            await farm.judge(submission(1))

    asyncio.run(run())
