"""A server that is asked for twice what it can do, and one whose replica dies meanwhile: refusals are clear."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from running_server import Server, ends, memory_mb, started

BODY = {"prompt": "fn main() {", "max_tokens": 64, "logit_bias": {"0": -100}}
SHORT_SECONDS, SOAK_SECONDS = 12.0, 600.0
MOST_GROWTH_MB = 150.0
"""Caches fill and Python keeps what it once had: more than that would be a leak."""


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Server]:
    server = started(model_path, farm=None)
    yield server
    server.process.terminate()
    ends(server)


class Load:
    """Requests at a rate, whether or not earlier ones are answered. Counts what came back; times what was served."""

    def __init__(self, server: Server) -> None:
        self._url = f"{server.url}/v1/completions"
        self.statuses: Counter[int | str] = Counter()
        self.unclear: list[str] = []
        self.seconds: list[float] = []

    async def ask(self, client: httpx.AsyncClient) -> None:
        begun = time.monotonic()
        try:
            answer = await client.post(self._url, json=BODY)
        except httpx.TransportError as error:
            self.statuses[type(error).__name__] += 1
            return
        self.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self.seconds.append(time.monotonic() - begun)
        elif "retry-after" not in answer.headers or not answer.json()["error"]["message"]:
            self.unclear.append(f"{answer.status_code}: {answer.text[:200]}")

    async def run(self, per_second: float, seconds: float) -> None:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as client:
            asked, begun = set[asyncio.Task[None]](), time.monotonic()
            while (now := time.monotonic() - begun) < seconds:
                while len(asked) < per_second * now:
                    asked.add(asyncio.create_task(self.ask(client)))
                await asyncio.sleep(0.01)
            await asyncio.gather(*asked)

    async def capacity(self, requests: int, at_once: int) -> float:
        """Requests a second that are answered when as many as there are slots ask in turn."""
        async with httpx.AsyncClient(timeout=60) as client:
            begun = time.monotonic()

            async def one_after_another() -> None:
                for _ in range(requests // at_once):
                    await self.ask(client)

            await asyncio.gather(*(one_after_another() for _ in range(at_once)))
            return requests / (time.monotonic() - begun)


def soaks(server: Server, seconds: float) -> None:
    calm = Load(server)
    capacity = asyncio.run(calm.capacity(40, at_once=2))
    asyncio.run(Load(server).run(2 * capacity, min(10.0, seconds)))
    memory = memory_mb(server)
    load = Load(server)
    asyncio.run(load.run(2 * capacity, seconds))
    server.wait_idle()
    grown = memory_mb(server) - memory
    after = Load(server)
    asyncio.run(after.capacity(40, at_once=2))
    before_p50, under_p50, after_p50 = (float(np.median(each.seconds)) for each in (calm, load, after))
    print(
        f"{seconds:.0f} s at {2 * capacity:.1f} requests/s, twice the capacity: {dict(load.statuses)}; p50 "
        f"{before_p50:.3f} s before, {under_p50:.3f} s under load, {after_p50:.3f} s after; memory grew {grown:.0f} MB"
    )
    assert set(load.statuses) == {200, 429} and not load.unclear, (load.statuses, load.unclear[:3])
    assert load.statuses[200] > 0.5 * capacity * seconds, "it did less under load than without"
    assert after_p50 < max(3 * before_p50, before_p50 + 0.5)
    assert grown < MOST_GROWTH_MB


def test_twice_the_capacity_for_a_while(server: Server) -> None:
    soaks(server, SHORT_SECONDS)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_twice_the_capacity_for_ten_minutes(server: Server) -> None:
    soaks(server, SOAK_SECONDS)


def test_a_replica_that_is_killed_loses_no_request_without_a_word(server: Server) -> None:
    async def scenario() -> Load:
        load = Load(server)
        under_load = asyncio.create_task(load.run(4.0, 20.0))
        await asyncio.sleep(3)
        children = psutil.Process(server.process.pid).children(recursive=True)
        (replica,) = (each for each in children if "ServeReplica" in "".join(each.cmdline()))
        replica.kill()
        await under_load
        return load

    load = asyncio.run(scenario())
    print(dict(load.statuses), load.unclear[:3])
    assert sum(load.statuses.values()) >= 79
    assert set(load.statuses) <= {200, 429, 503} and not load.unclear
    deadline = time.monotonic() + 60
    while httpx.post(f"{server.url}/v1/completions", json=BODY, timeout=60).status_code != 200:
        assert time.monotonic() < deadline, "it did not come back"
        time.sleep(0.2)
