"""The Ray actor around one vLLM engine. Forwards calls; decides nothing but to die with its engine.

vLLM is imported when the actor starts, and not with this file: the learner's process names the class, and must not pay
for an engine that it doesn't run.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.errors import EngineStartFailed
from rollout.settings import RolloutSettings
from rollout.types import Completion, GenerationRequest, PushProof

if TYPE_CHECKING:
    from rollout.engine import VllmEngine


class RolloutActor:
    """An async actor: many `generate` calls are in flight together, and the push phases run between their steps."""

    _engine: VllmEngine

    async def ready(self, model_dir: Path, settings: RolloutSettings, eos_token_id: int, version: int) -> None:
        """Starts the engine and returns once it can serve. The first call of all. Raises EngineStartFailed."""
        from rollout.engine import VllmEngine

        try:
            self._engine = VllmEngine(model_dir, settings, eos_token_id)
            await self._engine.ready(version)
        except Exception as error:  # vLLM raises every kind, and some don't survive the way to another process
            raise EngineStartFailed(str(error)) from None

    async def generate(self, request: GenerationRequest) -> Completion:
        """One completion. When the engine process is gone the actor exits, so that its owner sees a dead actor."""
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            return await self._engine.generate(request)
        except EngineDeadError:
            os._exit(os.EX_SOFTWARE)

    async def pause(self) -> None:
        """First phase of a push."""
        await self._engine.pause()

    async def load(self, path: Path, version: int) -> None:
        """Second phase of a push."""
        await self._engine.load(path, version)

    async def prove(self) -> PushProof:
        """Third phase of a push."""
        return await self._engine.prove()

    async def resume(self) -> None:
        """Last phase of a push, run after a failed one too."""
        await self._engine.resume()

    async def shutdown(self) -> None:
        """Ends the engine's process and its shared memory; the owner then kills the actor."""
        self._engine.shutdown()
