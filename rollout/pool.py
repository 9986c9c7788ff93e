"""The pool of rollout replicas: gives prompts to those that proved their weights, and pushes new weights to all.

    generate(requests) ─► orders wait for places ─► least loaded HEALTHY replica ─► completions, each as it ends
                                ▲                        │ stopped serving: its orders wait again, first in line
                                └────────────────────────┘
    push(weights, v) ─► offered by the transport ─► every replica: pause, load, prove, resume ─► PushReport
    a replica died ─► started anew in the background, within its budget ─► STALE until the next push proves it

Invariants: no completion is returned whose tokens came from weights that were not proved; every call ends, with a typed
error when no replica is left; what was offered is withdrawn when `push` returns.
The pool belongs to one event loop. It samples nothing itself and imports neither vLLM nor transformers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from safetensors import SafetensorError, safe_open

from rollout.checksum import expected_checksums
from rollout.errors import (
    EngineStartFailed,
    ModelFolderInvalid,
    NoHealthyReplica,
    NoReplicaLeft,
    PoolClosed,
    PushFailed,
    PushUnproved,
    ReplicaDied,
    RequestRefused,
    RolloutError,
)
from rollout.health import ReplicaState
from rollout.metrics import RolloutMetrics
from rollout.order import Order
from rollout.replica import Replica
from rollout.settings import RolloutSettings
from rollout.transport import Transport, make_transport
from rollout.types import Canary, Completion, GenerationRequest, PushReport

MOST_EVENTS = 100
"""Kept for whoever asks next; older ones are in the log alone."""

_log = logging.getLogger(__name__)


class RolloutPool:
    """Use `await RolloutPool.start(...)`, and `await pool.close()` at the end."""

    def __init__(
        self, model_dir: Path, settings: RolloutSettings, eos_token_id: int, version: int, transport: Transport
    ) -> None:
        self._settings, self._transport = settings, transport
        self._replicas = [
            Replica(index, model_dir, settings, eos_token_id, transport, self._dispatch)
            for index in range(settings.replicas)
        ]
        for replica in self._replicas:
            replica.health.changed = partial(self._tell, replica)
        self._events: deque[str] = deque(maxlen=MOST_EVENTS)
        self._first_version = version
        self._waiting: deque[Order] = deque()
        self._push_lock = asyncio.Lock()
        self._pushing = False
        self._reviving: dict[int, asyncio.Task[None]] = {}
        self._started = self._closed = False
        self._metrics = RolloutMetrics()

    @classmethod
    async def start(
        cls, model_dir: Path, settings: RolloutSettings, eos_token_id: int, version: int = 0
    ) -> RolloutPool:
        """Starts every replica over the Hugging Face folder `model_dir`, whose weights are policy `version`.

        Ray must be running. Each engine proves that it came up with the folder's weights before it serves.
        Raises ModelFolderInvalid, TransportUnavailable or EngineStartFailed; nothing is left running then.
        """
        if not ray.is_initialized():
            raise EngineStartFailed("Ray isn't running: call ray.init() before RolloutPool.start().")
        transport = make_transport(settings)
        model_dir = model_dir.resolve()
        checksums = await asyncio.to_thread(_folder_checksums, model_dir, _dtype(settings))
        pool = cls(model_dir, settings, eos_token_id, version, transport)
        try:
            await asyncio.gather(*(replica.start(version) for replica in pool._replicas))
            await asyncio.gather(*(replica.prove(version, checksums) for replica in pool._replicas))
        except (PushFailed, PushUnproved, ReplicaDied) as error:
            await pool.close()
            raise EngineStartFailed(f"an engine over {model_dir} did not prove its weights: {error}") from error
        except BaseException:
            await pool.close()
            raise
        pool._started = True
        pool._dispatch()
        return pool

    @property
    def restarts(self) -> int:
        """Times that a replica was started anew."""
        return sum(replica.health.restarts for replica in self._replicas)

    def take_events(self) -> list[str]:
        """What became of replicas since this was asked last, in words."""
        events = list(self._events)
        self._events.clear()
        return events

    @property
    def health(self) -> dict[int, str]:
        """State of each replica, in words."""
        return {replica.index: str(replica.health) for replica in self._replicas}

    async def generate(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        """Yields each completion as it ends, in any order. Many calls may run together, and while a push runs.

        A request whose replica stops serving starts again on another. Leaving the iteration cancels the rest.
        Raises RequestRefused before anything is sampled, NoHealthyReplica, PoolClosed.
        """
        for request in requests:
            self._check(request)
        loop = asyncio.get_running_loop()
        orders = [Order(request, loop.create_future()) for request in requests]
        self._waiting.extend(orders)
        self._dispatch()
        try:
            for answer in asyncio.as_completed([order.answer for order in orders]):
                completion = await answer
                self._metrics.completed(completion)
                yield completion
        finally:
            for order in orders:
                order.answer.cancel()
            await asyncio.gather(*(order.answer for order in orders), return_exceptions=True)

    async def push(self, weights: Mapping[str, torch.Tensor], version: int, canary: Canary | None = None) -> PushReport:
        """Gives every replica `weights` (Hugging Face names; no `lm_head.weight` when tied) as policy `version`.

        Sampling pauses meanwhile; completions in flight go on with the new weights and say so in their `versions`.
        A replica that hangs or is being started anew is left for the next push, unless there is no other. Each must
        report version and checksums that equal those computed here from what was sent (`rollout.weight_transfer` says
        what that proves), and agree with the learner about the `canary` (`rollout.canary` says why), else it is STALE.
        Raises PushFailed before any replica was touched when there is no room or a weight isn't finite; PushFailed,
        PushUnproved or ReplicaDied when not one replica proved it; NoReplicaLeft.
        """
        async with self._push_lock:
            self._check_open()
            begin = time.perf_counter()
            self._pushing = True
            try:
                device, dtype = self._transport.device, _dtype(self._settings)
                sent = {name: tensor.detach().to(device, dtype) for name, tensor in weights.items()}
                size = sum(tensor.nbytes for tensor in sent.values())
                async with self._transport.offered(sent) as info:
                    expected = await asyncio.to_thread(_expected, sent)
                    outcomes = await asyncio.gather(
                        *(self._push_to(replica, info, version, expected, canary) for replica in self._replicas)
                    )
            finally:
                self._pushing = False
                self._dispatch()
        failures = {r.index: error for r, error in zip(self._replicas, outcomes, strict=True) if error is not None}
        if len(failures) == len(self._replicas):
            raise next(iter(failures.values()))
        report = PushReport(
            version=version,
            megabytes=size / 1e6,
            seconds=time.perf_counter() - begin,
            proved=tuple(replica.index for replica in self._replicas if replica.index not in failures),
            stale={index: str(error) for index, error in failures.items()},
        )
        self._metrics.pushed(report)
        return report

    async def rest(self) -> None:
        """Has every replica lend its GPU memory to a learner on the same GPU, until the next push. None samples then.

        For transport = "ipc" alone, and only while nothing is in flight. A replica that can't is STALE or dead.
        """
        async with self._push_lock:
            serving = [replica.rest() for replica in self._replicas if replica.health.works]
            await asyncio.gather(*serving, return_exceptions=True)

    async def close(self) -> None:
        """Ends every replica. Completions under way end with PoolClosed. May be called twice."""
        if not self._closed:
            self._closed = True
            for revival in self._reviving.values():
                revival.cancel()
            await asyncio.gather(*(replica.stop("the pool was closed") for replica in self._replicas))
            self._transport.close()
            self._dispatch()

    def _dispatch(self, returned: Sequence[Order] = ()) -> None:
        """Gives waiting orders to replicas with places, those `returned` first; fails them if no replica ever will."""
        self._tend()
        self._waiting.extendleft(reversed(returned))
        if error := self._hopeless():
            while self._waiting:
                self._waiting.popleft().fail(error)
        shares: dict[Replica, list[Order]] = {}
        rooms = {r: r.capacity - r.load for r in self._replicas if r.health.serves and r.load < r.capacity}
        while self._waiting and rooms:
            order = self._waiting.popleft()
            if order.open:
                replica = max(rooms, key=lambda replica: rooms[replica])
                shares.setdefault(replica, []).append(order)
                rooms[replica] -= 1
                if not rooms[replica]:
                    del rooms[replica]
        for replica, orders in shares.items():
            replica.give(orders)
        self._metrics.load(
            sum(replica.health.serves for replica in self._replicas), sum(replica.load for replica in self._replicas)
        )

    def _hopeless(self) -> RolloutError | None:
        """Why no order will be served as things are."""
        try:
            self._check_open()
        except RolloutError as error:
            return error
        if not self._pushing and not any(replica.health.works for replica in self._replicas):
            return NoHealthyReplica(self.health)
        return None

    def _tend(self) -> None:
        """Has the dead started anew."""
        for replica in self._replicas if self._started and not self._closed else ():
            if replica.health.state is ReplicaState.DEAD and replica.index not in self._reviving:
                self._reviving[replica.index] = asyncio.create_task(self._revive(replica))

    async def _revive(self, replica: Replica) -> None:
        try:
            while True:
                if not replica.health.restarting(time.monotonic()):
                    return
                try:
                    await replica.start(self._first_version)
                except EngineStartFailed:
                    continue  # its health has the words
                replica.health.unproved("started anew; the next push brings it the weights")
                return
        finally:
            del self._reviving[replica.index]
            self._dispatch()

    async def _push_to(
        self, replica: Replica, info: dict[str, Any], version: int, expected: Mapping[str, str], canary: Canary | None
    ) -> RolloutError | None:
        revival = self._reviving.get(replica.index)
        others = any(not (r.health.dead or r.hangs or r.index in self._reviving) for r in self._replicas)
        try:
            if revival is not None:
                if others:
                    return ReplicaDied("it is being started anew; the next push brings it the weights")
                await asyncio.wait({revival})
            elif replica.hangs and others:
                return replica.leave_out("it gave no sign of life when the others were pushed")
            if replica.health.dead:
                return ReplicaDied(str(replica.health))
            await replica.push(info, version, expected, canary)
        except (PushFailed, PushUnproved, ReplicaDied) as error:
            return error
        return None

    def _tell(self, replica: Replica, before: ReplicaState) -> None:
        self._metrics.changed(replica.health.state)
        if self._started and not self._closed:
            self._events.append(f"rollout replica {replica.index} was {before} and is {replica.health}")
            _log.warning("%s", self._events[-1])

    def _check(self, request: GenerationRequest) -> None:
        length, limit = len(request.prompt_ids), self._settings.max_model_len
        if not length or request.max_tokens < 1 or request.temperature < 0:
            raise RequestRefused(
                f"request {request.id}: {length} prompt tokens, max_tokens {request.max_tokens}, temperature "
                f"{request.temperature:g}; it needs a prompt, a token to sample, and a temperature of 0 or more."
            )
        if length + request.max_tokens > limit:
            raise RequestRefused(
                f"request {request.id}: {length} prompt tokens + max_tokens {request.max_tokens} exceed max_model_len "
                f"{limit}. Ask for at most {limit - length} tokens, or raise rollout.max_model_len."
            )

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosed("the rollout pool was closed")
        if all(replica.health.state is ReplicaState.RETIRED for replica in self._replicas):
            raise NoReplicaLeft(self.health)


def _dtype(settings: RolloutSettings) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.dtype]


def _folder_checksums(model_dir: Path, dtype: torch.dtype) -> dict[str, str]:
    """What an engine must report that loaded `model_dir`. Raises ModelFolderInvalid."""
    files = sorted(model_dir.glob("*.safetensors"))
    if not files or not (model_dir / "config.json").is_file():
        raise ModelFolderInvalid(
            f"{model_dir} isn't a model folder: it lacks config.json or *.safetensors. Name a checkpoint's folder."
        )
    try:
        weights: dict[str, torch.Tensor] = {}
        for file in files:
            with safe_open(file, "pt") as tensors:
                weights |= {name: tensors.get_tensor(name).to(dtype) for name in tensors.keys()}  # noqa: SIM118
        return expected_checksums(weights)
    except SafetensorError as error:
        raise ModelFolderInvalid(f"{file} can't be read: {error}. Copy or train the checkpoint again.") from error


def _expected(weights: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """The checksums that prove `weights`. Raises PushFailed when a tensor has a value that isn't finite."""
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise PushFailed(f"{name} has values that are not finite, so nothing was pushed. Check the learner's loss.")
    return expected_checksums(weights)
