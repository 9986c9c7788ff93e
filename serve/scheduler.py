"""Which completion runs when: a bounded queue in front of the engine's slots.

    request ─► admit (slots + max_queue, else 429) ─► slot ─► a thread in Engine.generate ─► deltas ─► caller

A caller that stops reading or is cancelled loses its place in the queue at once; a completion that already runs stops
at its next token, and only then is its slot free. Runs in one event loop; never blocks it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager

from serve.engine import Delta, Engine, Sampling, joined
from serve.errors import Overloaded
from serve.metrics import (
    CANCELLED,
    COMPLETION_TOKENS,
    FIRST_TOKEN_SECONDS,
    PROMPT_TOKENS,
    RUNNING,
    WAITING,
    ServeMetrics,
)


class Scheduler:
    """Admits requests and runs their completions."""

    def __init__(self, engine: Engine, slots: int, max_queue: int, metrics: ServeMetrics) -> None:
        self._engine, self._metrics = engine, metrics
        self._limit, self._slots_total = slots + max_queue, slots
        self._slots = asyncio.Semaphore(slots)
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="engine")
        self._admitted = 0

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place for one request, however many completions it asks for.

        Raises:
            Overloaded: there is none.
        """
        if self._admitted >= self._limit:
            raise Overloaded(self._admitted - self._slots_total)
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def complete(
        self, prompt_ids: Sequence[int], sampling: Sampling, whole: bool = False
    ) -> AsyncGenerator[Delta, None]:
        """The pieces of one completion as they are sampled, or the `whole` of it as one piece.

        Raises:
            EngineError: the engine refuses the request or fails at it.
        """
        arrived = time.monotonic()
        loop, deltas, gone = asyncio.get_running_loop(), asyncio.Queue[Delta | None](), threading.Event()

        first_after: list[float] = []
        held: list[Delta] = []

        def on_delta(delta: Delta) -> bool:
            if not first_after:
                first_after.append(time.monotonic() - arrived)
            held.append(delta)
            # Waking the event loop for each token that nobody waits for takes time from those that somebody does.
            if not whole or delta.finish_reason is not None:
                loop.call_soon_threadsafe(deltas.put_nowait, joined(held))
                held.clear()
            return not gone.is_set()

        self._metrics.shift(WAITING, 1)
        try:
            await self._slots.acquire()
        finally:
            self._metrics.shift(WAITING, -1)
        work = loop.run_in_executor(self._threads, self._engine.generate, prompt_ids, sampling, on_delta)
        self._metrics.shift(RUNNING, 1)

        def on_end(ended: asyncio.Future[None]) -> None:
            self._slots.release()
            self._metrics.shift(RUNNING, -1)
            if not ended.cancelled():
                ended.exception()  # marks it as seen: the caller may be gone
            deltas.put_nowait(None)

        work.add_done_callback(on_end)
        last: Delta | None = None
        try:
            while (delta := await deltas.get()) is not None:
                if last is None:
                    self._metrics.observe(FIRST_TOKEN_SECONDS, first_after[0])
                last = delta
                yield delta
            work.result()
        finally:
            gone.set()
            if last is None or last.finish_reason is None:
                self._metrics.count(CANCELLED)
            else:
                self._metrics.count(PROMPT_TOKENS, last.prompt_tokens)
                self._metrics.count(COMPLETION_TOKENS, last.completion_tokens)


async def merge(streams: Sequence[AsyncGenerator[Delta, None]]) -> AsyncGenerator[tuple[int, Delta], None]:
    """The pieces of several completions as they come, each with the number of its stream.

    When the caller stops, or one stream fails, all are stopped.
    """
    if len(streams) == 1:
        async with aclosing(streams[0]) as stream:
            async for delta in stream:
                yield 0, delta
        return
    arrived: asyncio.Queue[tuple[int, Delta | Exception | None]] = asyncio.Queue()

    async def pump(index: int, stream: AsyncGenerator[Delta, None]) -> None:
        try:
            async for delta in stream:
                arrived.put_nowait((index, delta))
            arrived.put_nowait((index, None))
        except Exception as error:
            arrived.put_nowait((index, error))

    tasks = [asyncio.create_task(pump(index, stream)) for index, stream in enumerate(streams)]
    try:
        open_streams = len(tasks)
        while open_streams:
            index, item = await arrived.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                open_streams -= 1
            else:
                yield index, item
    finally:
        for task in tasks:
            task.cancel()
