"""The farm for long, under kills and under too much work: one verdict an id, nothing left behind, memory in bounds."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import ray
from hostile.variants import forgeries
from leftovers import cgroups, children, descriptors, left_by, resident_mb

from benchmarks.candidates import mixed
from reward_farm.errors import Overloaded
from reward_farm.judge import Judge
from reward_farm.pool import RewardFarm
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Outcome, Scored

night = (pytest.mark.nightly, pytest.mark.timeout(4 * 3600))
IN_FLIGHT = 96
FIRST_KILL_SECONDS = 3.0
"""Also where the farm is quick, a worker is killed in the middle of its work."""
MOST_GROWTH = 1.05
MOST_FAULTS = 0.001
"""Share of ids whose verdict is a fault after retries; with fewer than a thousand ids, none."""


def submissions(count: int, seed: int) -> list[Submission]:
    return [Submission(f"s{n}", each.source, each.problem) for n, each in enumerate(islice(mixed(seed), count))]


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=night)])
def test_a_judge_leaves_nothing_and_does_not_grow(count: int, settings: FarmSettings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"scratch_dir": tmp_path})
    work = submissions(count // 2, 21)
    work += [Submission(f"f{n}", each.source, each.problem) for n, each in enumerate(islice(forgeries(21), count // 2))]
    Random(0).shuffle(work)
    warm = max(96, count // 10)
    before, groups = children(), cgroups()
    with Judge(settings) as judge:
        judge.judge(work[:warm])
        open_then, size_then = descriptors(), resident_mb()
        for start in range(warm, len(work), 480):
            verdicts = judge.judge(work[start : start + 480])
            assert all(isinstance(verdict, Scored) for verdict in verdicts)
        assert descriptors() == open_then
        assert resident_mb() < size_then * MOST_GROWTH
    assert children() == before
    assert cgroups() <= groups
    assert left_by(tmp_path) == []


@dataclass
class Soak:
    """What came back: verdicts by id, and what they were. Verdicts themselves would be this test's own growth."""

    ids: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    size_warm: float = 0.0


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("count", "every_seconds"), [(400, 5.0), pytest.param(10_000, 5.0, marks=night)])
def test_one_verdict_an_id_while_workers_are_killed(
    count: int, every_seconds: float, settings: FarmSettings, tmp_path: Path
) -> None:
    pooled = settings.model_copy(update={"workers": 2, "scratch_dir": tmp_path})
    groups = cgroups()
    asyncio.run(asyncio.wait_for(_soak(RewardFarm(pooled), submissions(32, 30), every_seconds=None), 200))
    open_then = descriptors()
    soak = asyncio.run(asyncio.wait_for(_soak(RewardFarm(pooled), submissions(count, 31), every_seconds), 4 * 3600))
    assert soak.kills >= 1
    assert soak.ids == {f"s{n}": 1 for n in range(count)}
    assert soak.outcomes["fault"] <= count * MOST_FAULTS, soak.outcomes
    assert soak.outcomes[Outcome.PASSED] > count * 0.2, soak.outcomes
    assert resident_mb() < soak.size_warm * MOST_GROWTH
    # Ray keeps a connection or two to processes that it has replaced.
    assert descriptors() <= open_then + 4
    assert cgroups() <= groups
    assert left_by(tmp_path) == []


async def _soak(farm: RewardFarm, work: list[Submission], every_seconds: float | None) -> Soak:
    soak = Soak()
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(submission: Submission) -> None:
        async with slots:
            verdict = await farm.judge(submission)
        soak.ids[verdict.id] += 1
        soak.outcomes[verdict.outcome if isinstance(verdict, Scored) else "fault"] += 1
        if soak.ids.total() == max(1, len(work) // 2):  # what the farm remembers on purpose is full by then
            soak.size_warm = resident_mb()

    async def kill(every_seconds: float) -> None:
        rng = Random(0)
        await asyncio.sleep(FIRST_KILL_SECONDS)
        while True:
            worker = rng.choice(farm._workers)
            with suppress(ray.exceptions.RayError, ProcessLookupError, TimeoutError):
                pid = await asyncio.wait_for(_pid(worker), 20)
                os.kill(pid, signal.SIGKILL)
                soak.kills += 1
            await asyncio.sleep(every_seconds)

    killer = asyncio.create_task(kill(every_seconds) if every_seconds else asyncio.sleep(0))
    try:
        await asyncio.gather(*map(one, work))
    finally:
        killer.cancel()
        await farm.close()
    return soak


async def _pid(worker: object) -> int:
    pid: int = await worker.__ray_call__.remote(lambda _: os.getpid())  # type: ignore[attr-defined]
    return pid


@pytest.mark.usefixtures("cluster")
def test_ten_times_too_much_work_is_refused_and_forgotten(settings: FarmSettings) -> None:
    capacity = 48
    pooled = settings.model_copy(update={"workers": 1, "max_queue": capacity})
    work = submissions(10 * capacity, 40)

    async def run() -> None:
        farm = RewardFarm(pooled)
        try:
            await farm.judge(Submission("first", work[0].source, work[0].problem))
            size, refused, verdicts = resident_mb(), 0, []
            for round in range(3):
                judging = [asyncio.create_task(farm.judge(replace(each, id=f"{round}-{each.id}"))) for each in work]
                await asyncio.sleep(0)  # each has been asked once: who is refused knows it, before any work is done
                done = [task for task in judging if task.done()]
                waiting = [task for task in judging if not task.done()]
                said_no = [task for task in done if isinstance(task.exception(), Overloaded)]
                assert len(said_no) >= len(work) - 2 * capacity
                refused += len(said_no)
                assert farm.stats().waiting <= capacity
                verdicts += [task.result() for task in done if task.exception() is None]
                verdicts += await asyncio.wait_for(asyncio.gather(*waiting), 120)
            assert refused and not any(isinstance(verdict, InfraFault) for verdict in verdicts)
            assert resident_mb() < size * MOST_GROWTH
            assert farm.stats().waiting == 0
            again = await farm.judge(Submission("after", work[0].source, work[0].problem), 60)
            assert isinstance(again, Scored)
        finally:
            await farm.close()

    asyncio.run(run())
