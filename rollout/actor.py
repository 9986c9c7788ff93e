"""The Ray actor around one vLLM engine. Forwards calls; decides nothing but to die with its engine.

vLLM is imported when the actor starts, and not with this file: the learner's process names the class, and must not pay
for an engine that it doesn't run.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rollout.errors import EngineStartFailed
from rollout.outbox import Outbox, Outcome
from rollout.settings import RolloutSettings
from rollout.transport import landed
from rollout.types import Completion, GenerationRequest, PushProof

if TYPE_CHECKING:
    from rollout.engine import VllmEngine

T = TypeVar("T")

DEATH_WATCH_SECONDS = 0.2
"""Between two looks at whether the engine's process lives: a flag in memory."""


class RolloutActor:
    """An async actor: requests are under way in its outbox while the push phases run between the engine's steps."""

    _engine: VllmEngine
    _outbox: Outbox
    _death_watch: asyncio.Task[None]

    async def ready(self, model_dir: Path, settings: RolloutSettings, eos_token_id: int, version: int) -> None:
        """Starts the engine and returns once it can serve. The first call of all. Raises EngineStartFailed."""
        from rollout.engine import VllmEngine

        try:
            self._engine = VllmEngine(model_dir, settings, eos_token_id)
            await self._engine.ready(version)
        except Exception as error:  # vLLM raises every kind, and some don't survive the way to another process
            raise EngineStartFailed(str(error)) from None
        self._outbox = Outbox(self._generate)
        self._death_watch = asyncio.create_task(self._exit_with_engine())

    async def submit(self, requests: Sequence[tuple[int, GenerationRequest]]) -> None:
        """Starts requests, each under its ticket."""
        self._outbox.submit(requests)

    async def abandon(self, tickets: Sequence[int]) -> None:
        """Frees the places of requests that nobody waits for any more."""
        self._outbox.abandon(tickets)

    async def finished(self) -> list[tuple[int, Outcome]]:
        """What ended since the last call; empty after a while without. One call at a time."""
        return await self._outbox.finished()

    async def progress(self) -> int:
        """Tokens sampled so far, said between two of the engine's steps."""
        return await self._asked(self._engine.progress())

    async def connect(self, init_info: dict[str, Any]) -> None:
        """Opens the weight transport. Once, before the first push."""
        await self._asked(self._engine.connect(init_info))

    async def rest(self) -> None:
        """Lends its GPU memory until the next push."""
        await self._asked(self._engine.rest())

    async def pause(self) -> None:
        """First phase of a push."""
        await self._asked(self._engine.pause())

    async def load(self, update_info: dict[str, Any], version: int) -> None:
        """Second phase of a push."""
        async with landed(update_info) as info:
            await self._asked(self._engine.load(info, version))

    async def prove(self, canary_ids: tuple[int, ...] = ()) -> PushProof:
        """Third phase of a push."""
        return await self._asked(self._engine.prove(canary_ids))

    async def resume(self) -> None:
        """Last phase of a push, run after a failed one too."""
        await self._asked(self._engine.resume())

    async def shutdown(self) -> None:
        """Ends the engine's process and its shared memory; the owner then kills the actor."""
        self._death_watch.cancel()
        self._engine.shutdown()

    async def _generate(self, request: GenerationRequest) -> Completion:
        return await self._asked(self._engine.generate(request))

    async def _asked(self, answer: Awaitable[T]) -> T:
        """When the engine's process is gone the actor exits, so that its owner sees a dead actor."""
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            return await answer
        except EngineDeadError:
            os._exit(os.EX_SOFTWARE)

    async def _exit_with_engine(self) -> None:
        """vLLM never answers what its process was asked as it died: whoever waits for that must be told otherwise."""
        while not self._engine.dead:
            await asyncio.sleep(DEATH_WATCH_SECONDS)
        os._exit(os.EX_SOFTWARE)
