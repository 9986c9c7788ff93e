"""One rollout actor as the pool sees it: its handle, its health, its orders in hand, and its side of a weight push."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rollout.actor import RolloutActor
from rollout.canary import canary_difference
from rollout.checksum import differences
from rollout.environment import engine_environment
from rollout.errors import CanaryFailed, EngineStartFailed, PushFailed, PushUnproved, ReplicaDied, RolloutError
from rollout.health import ReplicaHealth, ReplicaState, RestartBudget
from rollout.order import Order
from rollout.pulse import Pulse
from rollout.settings import RolloutSettings
from rollout.transport import Transport
from rollout.types import Canary, Completion, PushProof

# Calls that an actor has room for: one for finished completions, the phases of a push, and short ones.
CONCURRENT_CALLS = 16

# Causes come from vLLM and Ray, and may list every architecture there is; their logs have the whole text.
MAX_REASON_CHARS = 300

# An engine told to shut down does so at once or never.
SHUTDOWN_SECONDS = 5.0


class Replica:
    """Owns one actor. Every wait on it has a deadline, or ends with the actor.

    `changed` is called with the open orders that it gives back because it stopped serving, or none where it merely has
    room again.
    """

    def __init__(
        self,
        index: int,
        model_dir: Path,
        settings: RolloutSettings,
        eos_token_id: int,
        transport: Transport,
        changed: Callable[[Sequence[Order]], None],
    ) -> None:
        self.index = index
        self.hangs = False
        """Its engine gives no sign of life, whatever its state."""
        self.health = ReplicaHealth(RestartBudget(settings.max_restarts, settings.restart_window_seconds))
        # As much again as the engine batches waits inside it, so that it never idles; the rest waits in the pool, where
        # it can still go to another replica.
        self.capacity = 2 * settings.max_num_seqs
        self._settings = settings
        self._arguments = (model_dir, settings, eos_token_id)
        self._transport = transport
        self._changed = changed
        self._orders: dict[int, Order] = {}
        self._left: list[int] = []
        self._tickets = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []
        self._pushing = False
        self._actor: Any = None

    @property
    def load(self) -> int:
        """Completions under way."""
        return len(self._orders)

    async def start(self, version: int) -> None:
        """Starts a new actor and engine, which serve nothing until they `prove` weights.

        Raises EngineStartFailed, and leaves the replica DEAD then.
        """
        self.hangs = False
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        resource = self._settings.node_resource
        self._actor = (
            ray.remote(RolloutActor)
            .options(
                num_cpus=self._settings.cpus_per_replica,
                num_gpus=self._settings.gpus_per_replica,
                max_concurrency=CONCURRENT_CALLS,
                runtime_env={"env_vars": engine_environment(self._settings)},
                resources={resource: 1} if resource else None,
                # Shared memory is this machine's, and so is a shared GPU; Ray and NCCL go anywhere.
                scheduling_strategy="DEFAULT" if self._settings.transport in ("nccl", "ray") else here,
            )
            .remote()
        )
        try:
            await self._phase("ready", *self._arguments, version, seconds=self._settings.start_deadline_seconds)
            await self._transport.connect(self.index, partial(self._phase, "connect"))
        except (PushFailed, ReplicaDied) as error:
            await self.stop(str(error))
            raise EngineStartFailed(
                f"rollout replica {self.index} over {self._arguments[0]}: {error} (the log above has vLLM's own words)"
            ) from error
        self._tasks = [asyncio.create_task(work(self._actor)) for work in (self._collect, self._watch)]

    async def prove(self, version: int, expected: Mapping[str, str], canary: Canary | None = None) -> None:
        """Asks the engine what it holds, and computes. HEALTHY when that is `version` with the `expected` checksums
        and the canary's log-probabilities, else STALE.

        Raises PushUnproved, PushFailed or ReplicaDied.
        """
        proof: PushProof = await self._phase("prove", canary.token_ids if canary else ())
        found = differences(version, expected, proof)
        if found:
            raise self._unproved(PushUnproved(found))
        if canary and (words := canary_difference(canary, proof.canary_logprobs, self._settings.dtype)):
            raise self._unproved(CanaryFailed(words))
        self.health.proved(version)

    def give(self, orders: Sequence[Order]) -> None:
        """Takes orders on, in one call. Each ends, or comes back through `changed`."""
        tickets = [next(self._tickets) for _ in orders]
        for ticket, order in zip(tickets, orders, strict=True):
            self._orders[ticket] = order
            order.answer.add_done_callback(partial(self._ended, ticket))
        # That the call failed is seen by whoever waits for what is finished.
        self._actor.submit.remote([(ticket, order.request) for ticket, order in zip(tickets, orders, strict=True)])

    async def rest(self) -> None:
        """Has the engine lend its GPU memory to the learner. STALE until the next push wakes it.

        Raises PushFailed or ReplicaDied.
        """
        await self._phase("rest")
        self._unproved(PushFailed("it rests, and the next push wakes it"))

    async def push(
        self, update_info: dict[str, Any], version: int, expected: Mapping[str, str], canary: Canary | None
    ) -> None:
        """Brings the weights that are offered to the engine and has it prove them, while its sampling stands still.

        Raises PushFailed, PushUnproved or ReplicaDied; what is in flight is given up then, before the engine goes on.
        """
        actor = self._actor
        self._pushing = True  # its phases have deadlines of their own
        try:
            await self._phase("pause")
            await self._load(update_info, version)
            await self.prove(version, expected, canary)
        except asyncio.CancelledError:
            self._unproved(PushFailed("the push was cancelled"))
            raise
        except PushFailed as error:
            if not self._transport.reusable:
                self._died(error)
            raise
        finally:
            self._pushing = False
            if actor is self._actor and not self.health.dead:  # another may come up in its place already
                await self._phase("resume")

    async def _load(self, update_info: dict[str, Any], version: int) -> None:
        delivery = asyncio.ensure_future(self._transport.deliver(self.index))
        try:
            await self._phase("load", update_info, version)
            await asyncio.wait_for(delivery, self._settings.push_deadline_seconds)
        except (TimeoutError, RuntimeError) as error:
            raise self._unproved(PushFailed(f"the weights could not be sent: {_words(error)}")) from error
        finally:
            delivery.cancel()

    def leave_out(self, reason: str) -> RolloutError:
        """It is not given the weights that others are: STALE, and its orders are theirs."""
        return self._unproved(PushFailed(reason))

    async def stop(self, reason: str) -> None:
        """Ends the actor and its engine. DEAD after it."""
        self.health.died(reason)
        self._give_back()
        for task in self._tasks:
            task.cancel()
        if (actor := self._actor) is None:
            return
        with contextlib.suppress(TimeoutError, RayActorError, RayTaskError):
            await asyncio.wait_for(_result(actor.shutdown.remote()), SHUTDOWN_SECONDS)
        ray.kill(actor)

    async def _phase(self, name: str, *arguments: Any, seconds: float | None = None) -> Any:
        deadline = seconds or self._settings.push_deadline_seconds
        actor = self._actor
        try:
            return await asyncio.wait_for(_result(getattr(actor, name).remote(*arguments)), deadline)
        except TimeoutError:
            raise self._unproved(PushFailed(f"phase `{name}` did not end within {deadline:g} s")) from None
        except RayTaskError as error:
            raise self._unproved(PushFailed(f"phase `{name}` failed: {_words(error.cause)}")) from error
        except RayActorError as error:
            if actor is self._actor:  # the one that took its place did not die
                self._died(error)
            raise ReplicaDied(f"in phase `{name}`: {_words(error)}") from error

    def _unproved(self, error: RolloutError) -> RolloutError:
        self.health.unproved(str(error))
        self._give_back()
        return error

    def _died(self, error: Exception) -> None:
        if not self.health.dead:
            self.health.died(_words(error))
            ray.kill(self._actor)  # one that is only out of reach must not live on beside the one that replaces it
            self._give_back()

    async def _watch(self, actor: Any) -> None:
        """Asks `actor` now and then how far its engine is: one that is busy answers late, one that hangs never."""
        settings, pulse = self._settings, Pulse(time.monotonic())
        answer: asyncio.Future[int] | None = None
        try:
            while actor is self._actor and not self.health.dead:
                answer = answer or asyncio.ensure_future(_result(actor.progress.remote()))
                await asyncio.wait({answer}, timeout=settings.heartbeat_seconds)
                if answer.done() and answer.exception() is not None:
                    return  # `_collect` sees it too
                if actor is not self._actor:
                    return
                now = time.monotonic()
                if self._pushing:
                    pulse.excused(now)  # a push has deadlines of its own
                if answer.done():
                    pulse.answered(now, answer.result(), busy=bool(self._orders))
                    answer = None
                self._judge(now - pulse.since, pulse.lack(now))
                if answer is None:
                    await asyncio.sleep(settings.heartbeat_seconds)
        finally:
            if answer is not None:
                answer.cancel()

    def _judge(self, quiet: float, lack: str) -> None:
        self.hangs = quiet >= self._settings.suspect_seconds
        if quiet >= self._settings.dead_seconds:
            self._died(TimeoutError(lack))
        elif self.hangs:
            self.health.quiet(lack)
            self._changed(())
        elif self.health.state is ReplicaState.SUSPECT and not self._pushing:
            self.health.heard()
            self._changed(())

    async def _collect(self, actor: Any) -> None:
        """Hands over what `actor` finishes, for as long as it lives."""
        while True:
            try:
                finished = await _result(actor.finished.remote())
            except (RayActorError, RayTaskError) as error:
                if actor is self._actor:
                    self._died(error)
                return
            for ticket, outcome in finished:
                # One that was given back meanwhile is another replica's now, and one of an unproved policy nobody's.
                if order := self._orders.pop(ticket, None):
                    order.complete(outcome) if isinstance(outcome, Completion) else order.fail(outcome)
            if finished:
                self._changed(())

    def _ended(self, ticket: int, _answer: asyncio.Future[Completion]) -> None:
        """Callers mostly leave with many orders at once: one call takes all of them back."""
        if self._orders.pop(ticket, None):
            if not self._left:
                asyncio.get_running_loop().call_soon(self._abandon)
            self._left.append(ticket)

    def _abandon(self) -> None:
        self._actor.abandon.remote(self._left)
        self._left = []
        self._changed(())

    def _give_back(self) -> None:
        orders, self._orders = self._orders, {}
        if orders and not self.health.dead:
            self._actor.abandon.remote(list(orders))
        self._changed([order for order in orders.values() if order.open])


async def _result(ref: Any) -> Any:
    return await ref


def _words(error: Exception) -> str:
    # Ray names ids and addresses first.
    return textwrap.shorten(str(error).rpartition("The actor is dead because ")[2], MAX_REASON_CHARS)
