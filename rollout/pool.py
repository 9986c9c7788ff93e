"""The pool of rollout replicas: gives prompts to those that proved their weights, and pushes new weights to all.

    generate(requests) ─► wait for a free place ─► least loaded HEALTHY replica ─► completions, each as it ends
                                ▲                        │ stopped serving: its requests wait again
                                └────────────────────────┘
    push(weights, v) ─► one file in shared memory ─► every replica: pause, load, prove, resume ─► PushReport

Invariants: no completion is returned whose tokens came from weights that were not proved; every call ends, with a typed
error when no replica is left; the file is gone when `push` returns.
The pool belongs to one event loop. It samples nothing itself and imports neither vLLM nor transformers.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import ray
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rollout.checksum import expected_checksums
from rollout.errors import (
    EngineStartFailed,
    ModelFolderInvalid,
    NoHealthyReplica,
    PoolClosed,
    PushFailed,
    PushUnproved,
    ReplicaDied,
    RequestRefused,
    RolloutError,
    TransportUnavailable,
)
from rollout.health import ReplicaState
from rollout.metrics import RolloutMetrics
from rollout.replica import Replica
from rollout.settings import RolloutSettings
from rollout.types import Completion, GenerationRequest, PushReport

SHARED_MEMORY = Path("/dev/shm")


class RolloutPool:
    """Use `await RolloutPool.start(...)`, and `await pool.close()` at the end."""

    def __init__(self, model_dir: Path, settings: RolloutSettings, eos_token_id: int, version: int) -> None:
        self._settings = settings
        self._replicas = [Replica(index, model_dir, settings, eos_token_id) for index in range(settings.replicas)]
        self._first_version = version
        self._changed = asyncio.Condition()
        self._pushing = asyncio.Lock()
        self._closed = False
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
        if settings.transport != "shm":
            raise TransportUnavailable(
                f"transport = {settings.transport!r} needs CUDA engines and an endpoint in the learner, and isn't part "
                'of this version. Set transport = "shm", which serves engines on the learner\'s machine.'
            )
        model_dir = model_dir.resolve()
        checksums = await asyncio.to_thread(_folder_checksums, model_dir, _dtype(settings))
        pool = cls(model_dir, settings, eos_token_id, version)
        try:
            await asyncio.gather(*(replica.start(version) for replica in pool._replicas))
            await asyncio.gather(*(replica.prove(version, checksums) for replica in pool._replicas))
        except (PushFailed, PushUnproved, ReplicaDied) as error:
            await pool.close()
            raise EngineStartFailed(f"an engine over {model_dir} did not prove its weights: {error}") from error
        except BaseException:
            await pool.close()
            raise
        await pool._announce()
        return pool

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
        tasks = [asyncio.create_task(self._complete(request)) for request in requests]
        try:
            for task in asyncio.as_completed(tasks):
                completion = await task
                self._metrics.completed(completion)
                yield completion
        finally:
            for left in tasks:
                left.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def push(self, weights: Mapping[str, torch.Tensor], version: int) -> PushReport:
        """Gives every replica `weights` (Hugging Face names; no `lm_head.weight` when tied) as policy `version`.

        Sampling pauses meanwhile; completions in flight go on with the new weights and say so in their `versions`.
        A dead replica is started anew first. Each replica must report version and checksums that equal those computed
        here from what was sent (`rollout.weight_transfer` says what that proves), else it is STALE.
        Raises PushFailed before any replica was touched when there is no room or a weight isn't finite, and PushFailed,
        PushUnproved or ReplicaDied when not one replica proved it.
        """
        async with self._pushing:
            self._check_open()
            begin = time.perf_counter()
            _remove_orphans()
            path = SHARED_MEMORY / f"ferrotype-{os.getpid()}-{id(self):x}.safetensors"
            try:
                sent = {name: tensor.detach().to("cpu", _dtype(self._settings)) for name, tensor in weights.items()}
                size = sum(tensor.nbytes for tensor in sent.values())
                expected = await asyncio.to_thread(_write, sent, size, path)
                outcomes = await asyncio.gather(
                    *(self._push_to(replica, path, version, expected) for replica in self._replicas)
                )
            finally:
                path.unlink(missing_ok=True)
                await self._announce()
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

    async def close(self) -> None:
        """Ends every replica. Completions under way end with PoolClosed. May be called twice."""
        if not self._closed:
            self._closed = True
            await asyncio.gather(*(replica.stop("the pool was closed") for replica in self._replicas))
            await self._announce()

    async def _complete(self, request: GenerationRequest) -> Completion:
        while True:
            replica = await self._free_replica()
            completion = None
            try:
                completion = await replica.generate(request)
            finally:
                await self._announce(None if completion is None else 1)
            if completion is not None:
                return completion

    async def _free_replica(self) -> Replica:
        async with self._changed:
            try:
                await self._changed.wait_for(self._places)
            except asyncio.CancelledError:
                self._changed.notify()  # this waiter may have been the only one that the last notice woke
                raise
            return min(self._places(), key=lambda replica: replica.load)

    def _places(self) -> list[Replica]:
        self._check_open()
        if all(replica.health.state in (ReplicaState.STALE, ReplicaState.DEAD) for replica in self._replicas):
            raise NoHealthyReplica(self.health)
        return [replica for replica in self._replicas if replica.health.serves and replica.load < replica.capacity]

    async def _announce(self, places: int | None = None) -> None:
        """Wakes as many waiters as `places` came free, or all when a replica's state may have changed."""
        self._observe()
        async with self._changed:
            if places is None:
                self._changed.notify_all()
            else:
                self._changed.notify(places)

    async def _push_to(
        self, replica: Replica, path: Path, version: int, expected: Mapping[str, str]
    ) -> RolloutError | None:
        try:
            if replica.health.dead:
                await replica.start(self._first_version)
            await replica.push(path, version, expected)
        except (EngineStartFailed, PushFailed, PushUnproved, ReplicaDied) as error:
            return error
        return None

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

    def _observe(self) -> None:
        serving = sum(replica.health.serves for replica in self._replicas)
        self._metrics.load(serving, sum(replica.load for replica in self._replicas))


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


def _remove_orphans() -> None:
    """Weights that a killed process left in shared memory would stay until the machine is restarted."""
    for path in SHARED_MEMORY.glob("ferrotype-*-*.safetensors"):
        owner = path.name.split("-")[1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            path.unlink(missing_ok=True)


def _write(weights: Mapping[str, torch.Tensor], size: int, path: Path) -> dict[str, str]:
    """Writes `weights` to shared memory and returns the checksums that prove them.

    Raises PushFailed when there is no room, or when a tensor has a value that isn't finite.
    """
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise PushFailed(f"{name} has values that are not finite, so nothing was pushed. Check the learner's loss.")
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise PushFailed(
            f"{path.parent} has {free / 1e6:.0f} MB free and the weights need {size / 1e6:.0f} MB. "
            "Enlarge it (containers: --shm-size, or an emptyDir with medium Memory)."
        )
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    return expected_checksums(weights)
