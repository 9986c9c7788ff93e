"""Requests of an engine, run side by side; the finished ones are handed over many at a time. Knows no engine, no Ray.

A call between processes costs about as much as an engine needs for a short completion, so one call carries many.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from rollout.errors import RequestFailed
from rollout.types import Completion, GenerationRequest

GATHER_SECONDS = 0.005
"""For how long what ends is gathered while more is under way: less than a token of a batch takes."""

HEARTBEAT_SECONDS = 1.0
"""After which `finished` answers though nothing is: who waits for it knows that its owner lives."""

Outcome = Completion | RequestFailed


class Outbox:
    """Runs `generate` for every request it is given. Tickets are the caller's, each used once."""

    def __init__(self, generate: Callable[[GenerationRequest], Awaitable[Completion]]) -> None:
        self._generate = generate
        self._running: dict[int, asyncio.Task[None]] = {}
        self._finished: list[tuple[int, Outcome]] = []
        self._some = asyncio.Event()

    def submit(self, requests: Sequence[tuple[int, GenerationRequest]]) -> None:
        """Starts every request. What comes of it comes out of `finished`, with the request's ticket."""
        for ticket, request in requests:
            self._running[ticket] = asyncio.create_task(self._run(ticket, request))

    def abandon(self, tickets: Iterable[int]) -> None:
        """Cancels what is still under way of `tickets`. A finished one may be handed over all the same."""
        for ticket in tickets:
            if task := self._running.pop(ticket, None):
                task.cancel()

    async def finished(self) -> list[tuple[int, Outcome]]:
        """All that ended since the last call, as soon as there is some; none after HEARTBEAT_SECONDS."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._some.wait(), HEARTBEAT_SECONDS)
        if self._finished and self._running:
            await asyncio.sleep(GATHER_SECONDS)
        self._some.clear()
        finished, self._finished = self._finished, []
        return finished

    async def _run(self, ticket: int, request: GenerationRequest) -> None:
        begin = time.perf_counter()
        outcome: Outcome
        try:
            completion = await self._generate(request)
            outcome = replace(completion, seconds=time.perf_counter() - begin)
        except Exception as error:  # an engine raises every kind, and some don't survive the way to another process
            outcome = RequestFailed(f"request {request.id}: {type(error).__name__}: {error}")
        self._running.pop(ticket, None)
        self._finished.append((ticket, outcome))
        self._some.set()
