"""Weights from GPU to GPU, by vLLM's own transports: `ipc` on one that is shared, `nccl` to others.

**Not run by anyone yet**: no GPU has been at hand. Both keep to vLLM's documented calls, and every test of a push runs
with them where torch sees the GPUs (tests/rollout/conftest.py). The learner must live in this process
(grpo.learners = 0). Imports vLLM: only `rollout.transport` imports this, and only where one of them is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import torch
from torch.multiprocessing.reductions import reduce_tensor
from vllm.distributed.device_communicators.pynccl import PyNcclCommunicator
from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferInitInfo, IPCWeightTransferUpdateInfo
from vllm.distributed.weight_transfer.nccl_common import (
    NCCLWeightTransferInitInfo,
    trainer_init,
    worker_init_payload,
)
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferUpdateInfo
from vllm.distributed.weight_transfer.packed_tensor import (
    DEFAULT_PACKED_BUFFER_SIZE_BYTES,
    DEFAULT_PACKED_NUM_BUFFERS,
    packed_nccl_broadcast_producer,
)
from vllm.utils.network_utils import get_ip, get_open_port

from rollout.transport import Connect

T = TypeVar("T")


class IpcTransport:
    """Handles to the learner's own memory: an engine on the same GPU copies from there."""

    device, reusable = "cuda", True

    async def connect(self, replica: int, engine: Connect) -> None:  # noqa: ARG002
        """One handle a tensor."""
        await engine(asdict(IPCWeightTransferInitInfo(packed=False)))

    @asynccontextmanager
    async def offered(self, weights: Mapping[str, torch.Tensor]) -> AsyncIterator[dict[str, Any]]:
        """Handles, good while the tensors behind them are held here."""
        held = {name: tensor.contiguous() for name, tensor in weights.items()}
        gpu = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
        info = IPCWeightTransferUpdateInfo(
            **_described(held), ipc_handles=[{gpu: reduce_tensor(tensor)[1]} for tensor in held.values()]
        )
        torch.cuda.synchronize()
        try:
            yield {key: value for key, value in asdict(info).items() if value is not None}
        finally:
            held.clear()
            torch.cuda.ipc_collect()

    async def deliver(self, replica: int) -> None:
        """Engines read by themselves."""

    def close(self) -> None:
        """Holds nothing between two pushes."""


class NcclTransport:
    """A group of two for each replica, the learner and its engine: one that hangs holds up no other.

    A communicator that one side left in the midst of a broadcast can't be used again, so the replica of a push that
    failed is started anew.
    """

    reusable = False

    def __init__(self) -> None:
        # Ray gives engines the GPUs from the first on; the learner has the last.
        self.device = f"cuda:{torch.cuda.device_count() - 1}"
        self._groups: dict[int, PyNcclCommunicator] = {}
        self._weights: Mapping[str, torch.Tensor] = {}

    async def connect(self, replica: int, engine: Connect) -> None:
        """Both sides meet in a group; the learner's is 0."""
        if (last := self._groups.pop(replica, None)) is not None:
            last.destroy()
        info = NCCLWeightTransferInitInfo(
            master_address=get_ip(),
            master_port=get_open_port(),
            rank_offset=1,
            world_size=2,
            packed=True,
            packed_buffer_size_bytes=DEFAULT_PACKED_BUFFER_SIZE_BYTES,
            packed_num_buffers=DEFAULT_PACKED_NUM_BUFFERS,
        )
        payload = worker_init_payload(info)
        ours = asyncio.ensure_future(asyncio.to_thread(self._on_device, trainer_init, payload))
        try:
            await engine(payload)
            self._groups[replica] = await ours
        finally:
            ours.cancel()

    @asynccontextmanager
    async def offered(self, weights: Mapping[str, torch.Tensor]) -> AsyncIterator[dict[str, Any]]:
        """Names, types and shapes: `deliver` sends the rest."""
        self._weights = weights
        try:
            yield asdict(NCCLWeightTransferUpdateInfo(**_described(weights)))
        finally:
            self._weights = {}

    async def deliver(self, replica: int) -> None:
        """Broadcast to that replica's engine."""
        await asyncio.to_thread(
            self._on_device,
            packed_nccl_broadcast_producer,
            iterator=iter(self._weights.items()),
            group=self._groups[replica],
            src=0,
            post_iter_func=lambda item: item[1],
            buffer_size_bytes=DEFAULT_PACKED_BUFFER_SIZE_BYTES,
            num_buffers=DEFAULT_PACKED_NUM_BUFFERS,
        )

    def _on_device(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """vLLM takes the thread's current GPU."""
        with torch.cuda.device(self.device):
            return call(*arguments, **named)

    def close(self) -> None:
        """Leave all groups."""
        for group in self._groups.values():
            group.destroy()
        self._groups.clear()


def _described(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {
        "names": list(weights),
        "dtype_names": [str(tensor.dtype).removeprefix("torch.") for tensor in weights.values()],
        "shapes": [list(tensor.shape) for tensor in weights.values()],
    }
