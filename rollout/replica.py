"""One rollout actor as the pool sees it: its handle, its health, its calls in flight, and its side of a weight push."""

from __future__ import annotations

import asyncio
import contextlib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rollout.actor import RolloutActor
from rollout.checksum import differences
from rollout.environment import engine_environment
from rollout.errors import EngineStartFailed, PushFailed, PushUnproved, ReplicaDied, RolloutError
from rollout.health import ReplicaHealth
from rollout.settings import RolloutSettings
from rollout.types import Completion, GenerationRequest

# Calls beyond `generate` that an actor must always have room for: the phases of a push.
CONTROL_CALLS = 8

# Causes come from vLLM and Ray, and may list every architecture there is; their logs have the whole text.
MAX_REASON_CHARS = 300

# An engine told to shut down does so at once or never.
SHUTDOWN_SECONDS = 5.0


class Replica:
    """Owns one actor. Every wait on it has a deadline, or ends with the actor."""

    def __init__(self, index: int, model_dir: Path, settings: RolloutSettings, eos_token_id: int) -> None:
        self.index = index
        self.health = ReplicaHealth()
        # As much again as the engine batches waits inside it, so that it never idles; the rest waits in the pool, where
        # it can still go to another replica.
        self.capacity = 2 * settings.max_num_seqs
        self._settings = settings
        self._arguments = (model_dir, settings, eos_token_id)
        self._calls: set[asyncio.Future[Completion]] = set()
        self._actor: Any = None

    @property
    def load(self) -> int:
        """Completions under way."""
        return len(self._calls)

    async def start(self, version: int) -> None:
        """Starts a new actor and engine, which serve nothing until they `prove` weights.

        Raises EngineStartFailed, and leaves the replica DEAD then.
        """
        self.health.starting()
        here = ray.get_runtime_context().get_node_id()
        self._actor = (
            ray.remote(RolloutActor)
            .options(
                num_cpus=self._settings.cpus_per_replica,
                num_gpus=self._settings.gpus_per_replica,
                max_concurrency=self.capacity + CONTROL_CALLS,
                runtime_env={"env_vars": engine_environment(self._settings)},
                # Shared memory is this machine's.
                scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
            )
            .remote()
        )
        try:
            await self._phase("ready", *self._arguments, version, seconds=self._settings.start_deadline_seconds)
        except (PushFailed, ReplicaDied) as error:
            await self.stop(str(error))
            raise EngineStartFailed(
                f"rollout replica {self.index} over {self._arguments[0]}: {error} (the log above has vLLM's own words)"
            ) from error

    async def prove(self, version: int, expected: Mapping[str, str]) -> None:
        """Asks the engine what it holds. HEALTHY when that is `version` with the `expected` checksums, else STALE.

        Raises PushUnproved, PushFailed or ReplicaDied.
        """
        found = differences(version, expected, await self._phase("prove"))
        if found:
            raise self._unproved(PushUnproved(found))
        self.health.proved(version)

    async def generate(self, request: GenerationRequest) -> Completion | None:
        """One completion, or None when the replica stopped serving before it ended: ask another one.

        Cancelling it frees the request's place in the engine.
        """
        ref = self._actor.generate.remote(request)
        call: asyncio.Future[Completion] = asyncio.ensure_future(_result(ref))
        self._calls.add(call)
        try:
            await asyncio.wait({call})
            if call.cancelled():
                return None
            return call.result()
        except RayActorError as error:
            self._died(error)
            return None
        finally:
            self._calls.discard(call)
            if not call.done() or call.cancelled():
                call.cancel()
                ray.cancel(ref)

    async def push(self, path: Path, version: int, expected: Mapping[str, str]) -> None:
        """Brings the weights in `path` to the engine and has it prove them, while its sampling stands still.

        Raises PushFailed, PushUnproved or ReplicaDied; what is in flight is given up then, before the engine goes on.
        """
        try:
            await self._phase("pause")
            await self._phase("load", path, version)
            await self.prove(version, expected)
        except asyncio.CancelledError:
            self._unproved(PushFailed("the push was cancelled"))
            raise
        finally:
            await self._phase("resume")

    async def stop(self, reason: str) -> None:
        """Ends the actor and its engine. DEAD after it."""
        self.health.died(reason)
        self._give_up_calls()
        if self._actor is None:
            return
        with contextlib.suppress(TimeoutError, RayActorError, RayTaskError):
            await asyncio.wait_for(_result(self._actor.shutdown.remote()), SHUTDOWN_SECONDS)
        ray.kill(self._actor)

    async def _phase(self, name: str, *arguments: Any, seconds: float | None = None) -> Any:
        deadline = seconds or self._settings.push_deadline_seconds
        try:
            return await asyncio.wait_for(_result(getattr(self._actor, name).remote(*arguments)), deadline)
        except TimeoutError:
            raise self._unproved(PushFailed(f"phase `{name}` did not end within {deadline:g} s")) from None
        except RayTaskError as error:
            raise self._unproved(PushFailed(f"phase `{name}` failed: {_words(error.cause)}")) from error
        except RayActorError as error:
            self._died(error)
            raise ReplicaDied(f"in phase `{name}`: {self.health.reason}") from error

    def _unproved(self, error: RolloutError) -> RolloutError:
        self.health.unproved(str(error))
        self._give_up_calls()
        return error

    def _died(self, error: RayActorError) -> None:
        self.health.died(_words(error))
        self._give_up_calls()
        ray.kill(self._actor)  # one that is only out of reach must not live on beside the one that replaces it

    def _give_up_calls(self) -> None:
        for call in tuple(self._calls):
            call.cancel()


async def _result(ref: Any) -> Any:
    return await ref


def _words(error: Exception) -> str:
    return textwrap.shorten(str(error), MAX_REASON_CHARS)
