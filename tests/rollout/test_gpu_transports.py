"""What of the GPU transports can be looked at without a GPU: that vLLM's side understands what they say."""

from __future__ import annotations

import asyncio

import torch
from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferEngine
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine

from rollout.gpu_transports import IpcTransport, NcclTransport

WEIGHTS = {"a.weight": torch.zeros(2, 3, dtype=torch.bfloat16), "b.bias": torch.ones(3)}


def test_what_nccl_offers_is_an_update_info_and_is_withdrawn() -> None:
    async def offered() -> None:
        transport = NcclTransport()
        async with transport.offered(WEIGHTS) as info:
            understood = NCCLWeightTransferEngine.update_info_cls(**info)
            assert understood.names == ["a.weight", "b.bias"]
            assert [getattr(torch, name) for name in understood.dtype_names] == [torch.bfloat16, torch.float32]
            assert understood.shapes == [[2, 3], [3]]
            assert dict(transport._weights) == WEIGHTS
        assert not transport._weights
        transport.close()

    asyncio.run(offered())


def test_what_ipc_says_at_first_is_an_init_info() -> None:
    said = []

    async def engine(info: dict[str, object]) -> None:
        said.append(IPCWeightTransferEngine.init_info_cls(**info))

    asyncio.run(IpcTransport().connect(0, engine))
    assert [info.packed for info in said] == [False]
