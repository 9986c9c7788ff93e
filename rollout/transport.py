"""How weights get from the learner's process to the engines: one class a way, behind one protocol. Proves nothing.

    connect ─► agreed once with each engine that comes up
    offered ─► what every engine is told to load ─► engine loads it │ `deliver` runs beside ─► withdrawn

`shm` and `ray` are here. `ipc` and `nccl` are in `gpu_transports`, which imports vLLM.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy
import torch
from safetensors.torch import save, save_file

from rollout.errors import PushFailed, TransportUnavailable
from rollout.settings import RolloutSettings

Connect: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
"""Gives an engine the init info of vLLM's weight-transfer protocol."""

SHARED_MEMORY = Path("/dev/shm")
OBJECT = "object"
"""Where an offer holds a reference of Ray's."""


class Transport(Protocol):
    """The learner's end. `device`: where it takes weights from. `reusable`: a push that failed leaves it in order."""

    device: str
    reusable: bool

    async def connect(self, replica: int, engine: Connect) -> None:
        """Agree with the engine of a replica that came up."""
        ...

    def offered(self, weights: Mapping[str, torch.Tensor]) -> AbstractAsyncContextManager[dict[str, Any]]:
        """The update info of vLLM's protocol, good for as long as the context lasts. Raises PushFailed."""
        ...

    async def deliver(self, replica: int) -> None:
        """What the learner's side does while that replica's engine loads what is offered."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class ShmTransport:
    """A file in shared memory, that engines on the same machine read."""

    device, reusable = "cpu", True

    async def connect(self, replica: int, engine: Connect) -> None:  # noqa: ARG002
        """Nothing to agree on but that."""
        await engine({})

    @asynccontextmanager
    async def offered(self, weights: Mapping[str, torch.Tensor]) -> AsyncIterator[dict[str, Any]]:
        """The path of a file that is gone afterwards. Raises PushFailed when there is no room."""
        _remove_orphans()
        path = SHARED_MEMORY / f"ferrotype-{os.getpid()}-{id(self):x}.safetensors"
        try:
            await asyncio.to_thread(_write, weights, path)
            yield {"path": str(path)}
        finally:
            path.unlink(missing_ok=True)

    async def deliver(self, replica: int) -> None:
        """Engines read by themselves."""

    def close(self) -> None:
        """Holds nothing."""


class RayTransport:
    """The same file by way of Ray's object store, which brings it to every machine of the cluster once."""

    device, reusable = "cpu", True

    async def connect(self, replica: int, engine: Connect) -> None:  # noqa: ARG002
        """Nothing to agree on but that."""
        await engine({})

    @asynccontextmanager
    async def offered(self, weights: Mapping[str, torch.Tensor]) -> AsyncIterator[dict[str, Any]]:
        """A reference to the file. Raises PushFailed when Ray has no room."""
        import ray

        def put() -> Any:
            content = save({name: tensor.contiguous() for name, tensor in weights.items()})
            return ray.put(numpy.frombuffer(content, numpy.uint8))

        try:
            # In a list, so that Ray hands over the reference and not what it refers to.
            yield {OBJECT: [await asyncio.to_thread(put)]}
        except ray.exceptions.ObjectStoreFullError as error:
            size = sum(tensor.nbytes for tensor in weights.values()) / 1e6
            raise PushFailed(
                f"Ray's object store has no room for {size:.0f} MB of weights. Raise cluster.object_store_mb, or give "
                "`ray start` more --object-store-memory."
            ) from error

    async def deliver(self, replica: int) -> None:
        """Engines read by themselves."""

    def close(self) -> None:
        """Holds nothing."""


@asynccontextmanager
async def landed(info: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """On the engine's machine: what is offered as the engine can load it, a file of this machine."""
    if OBJECT not in info:
        yield info
        return
    _remove_orphans()
    path = SHARED_MEMORY / f"ferrotype-{os.getpid()}-{secrets.token_hex(6)}.safetensors"
    try:
        content = await info[OBJECT][0]
        await asyncio.to_thread(path.write_bytes, content)
        yield {"path": str(path)}
    finally:
        path.unlink(missing_ok=True)


def make_transport(settings: RolloutSettings) -> Transport:
    """The one of `settings.transport`.

    Raises:
        TransportUnavailable: this process lacks the GPUs for it.
    """
    if settings.transport in ("shm", "ray"):
        return ShmTransport() if settings.transport == "shm" else RayTransport()
    needed = 1 if settings.transport == "ipc" else 2
    if torch.cuda.device_count() < needed or not settings.gpus_per_replica:
        raise TransportUnavailable(
            f"transport = {settings.transport!r} goes from GPU to GPU: it needs {needed} of them in the learner's "
            f"process (it sees {torch.cuda.device_count()}), and rollout.gpus_per_replica above 0. "
            'Set rollout.transport = "shm", which serves engines on the learner\'s machine, with or without GPUs.'
        )
    from rollout.gpu_transports import IpcTransport, NcclTransport

    return IpcTransport() if settings.transport == "ipc" else NcclTransport()


def _remove_orphans() -> None:
    """Weights that a killed process left in shared memory would stay until the machine is restarted."""
    for path in SHARED_MEMORY.glob("ferrotype-*-*.safetensors"):
        owner = path.name.split("-")[1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            path.unlink(missing_ok=True)


def _write(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    size, free = sum(tensor.nbytes for tensor in weights.values()), shutil.disk_usage(path.parent).free
    if size > free:
        raise PushFailed(
            f"{path.parent} has {free / 1e6:.0f} MB free and the weights need {size / 1e6:.0f} MB. "
            "Enlarge it (containers: --shm-size, or an emptyDir with medium Memory)."
        )
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
