"""The shared-memory transport of vLLM's weight-transfer protocol, and the proof of what an engine holds afterwards.

vLLM imports this file in its worker process, because `worker_extension_cls` names `WeightProof`; registering the
transport is that import's effect. This file and `engine.py` are the only ones that touch vLLM's API.

What a proof proves: `held_tensors` reads weights back from where the kernels take them. On the CPU vLLM packs every
matrix for oneDNN and drops the original, so its own `compute_weight_checksums` hashes empty tensors. Here a packed
matrix is multiplied by the identity, which returns each of its elements exactly (one product is the element, all others
add zero), fused projections are split into their Hugging Face parts, and padding is cut off. Equal checksums therefore
mean that each product that the engine computes has the learner's factors. They don't prove the kernels' arithmetic:
that is the canary's part (`rollout.canary`), which runs through the model's own forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from safetensors import safe_open
from vllm import SamplingParams
from vllm.distributed.weight_transfer import WeightTransferEngine, WeightTransferEngineFactory
from vllm.distributed.weight_transfer.base import WeightTransferInitInfo, WeightTransferUpdateInfo
from vllm.model_executor.layers.linear import LinearBase
from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload
from vllm.v1.core.sched.output import NewRequestData, SchedulerOutput
from vllm.v1.outputs import AsyncModelRunnerOutput

from rollout.checksum import TIED_HEAD, checksum

CANARY = "ferrotype-canary"
"""Id of the one request that no scheduler knows."""


def held_tensors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight that the engine computes with, by Hugging Face name, with the shape that a checkpoint has."""
    packed: dict[str, list[str]] = getattr(model, "packed_modules_mapping", {})
    for path, layer in model.named_modules():
        if isinstance(layer, VocabParallelEmbedding):
            matrix = _factor(layer, layer.embedding_dim) if isinstance(layer, ParallelLMHead) else layer.weight
            yield f"{path}.weight", matrix[: layer.org_vocab_size]
        elif isinstance(layer, LinearBase):
            parent, leaf = path.rsplit(".", 1)
            parts, rows = packed.get(leaf, [leaf]), layer.output_partition_sizes
            for part, matrix in zip(parts, _factor(layer, layer.input_size).split(rows), strict=True):
                yield f"{parent}.{part}.weight", matrix
            if layer.bias is not None:
                for part, bias in zip(parts, layer.bias.split(rows), strict=True):
                    yield f"{parent}.{part}.bias", bias
        else:
            yield from ((f"{path}.{leaf}", weight) for leaf, weight in layer.named_parameters(recurse=False))


def _factor(layer: torch.nn.Module, columns: int) -> torch.Tensor:
    """The matrix `[out, in]` that a layer multiplies by: through the kernel that holds a packed copy of it."""
    kernel = getattr(layer, "cpu_linear", None)
    if kernel is None:
        return layer.weight
    return kernel(torch.eye(columns, dtype=layer.weight.dtype), layer.weight, None).t()


@dataclass
class ShmInitInfo(WeightTransferInitInfo):
    """Nothing to agree on beforehand."""


@dataclass
class ShmUpdateInfo(WeightTransferUpdateInfo):
    """`path` of a safetensors file, in shared memory, with every tensor of the model."""

    path: str


class ShmWeightTransferEngine(WeightTransferEngine[ShmInitInfo, ShmUpdateInfo]):
    """Loads weights from a file in shared memory. The file is its writer's, who deletes it after the push."""

    init_info_cls = ShmInitInfo
    update_info_cls = ShmUpdateInfo
    supports_draft_weight_update = False

    def init_transfer_engine(self, init_info: ShmInitInfo) -> None:
        """Needs no connection."""

    def start_weight_update(self) -> None:
        """Leaves the model alone until the sent file is known to fit: see `receive_weights`."""

    def receive_weights(self, update_info: ShmUpdateInfo) -> None:
        """Loads the file. Raises ValueError, with the model untouched, when its names or shapes aren't the model's."""
        with safe_open(update_info.path, "pt") as file:
            names = list(file.keys())
            sent = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            self._check_fit(sent)
            initialize_layerwise_reload(self.model)
            self.model.load_weights((name, file.get_tensor(name)) for name in names)

    def finish_weight_update(self) -> None:
        """Packs what was loaded, and the tied head with it."""
        finalize_layerwise_reload(self.model, self.model_config)
        head = getattr(self.model, "lm_head", None)
        # A tied head has a packed copy of the embedding that no reload refreshes: it would sample from the old model.
        if self.device.type == "cpu" and head is not None and self.model.config.tie_word_embeddings:
            head.weight = self.model.model.embed_tokens.weight
            dispatch_cpu_unquantized_gemm(head, remove_weight=False)

    def shutdown(self) -> None:
        """Holds nothing to release."""

    def _check_fit(self, sent: dict[str, tuple[int, ...]]) -> None:
        held = {name: tuple(tensor.shape) for name, tensor in held_tensors(self.model)}
        if self.model.config.tie_word_embeddings:
            held.pop(TIED_HEAD, None)
        for name in sorted(held.keys() | sent.keys()):
            if held.get(name) != sent.get(name):
                raise ValueError(f"{name}: shape {sent.get(name)} was sent, the engine's model has {held.get(name)}")


WeightTransferEngineFactory.register_engine("shm", ShmWeightTransferEngine)


class WeightProof:
    """Mixed into vLLM's worker, so that the engine can be asked what it holds."""

    def held_checksums(self) -> dict[str, str]:
        """`rollout.checksum` of each weight, by Hugging Face name."""
        return {name: checksum(tensor) for name, tensor in held_tensors(self.model_runner.model)}  # type: ignore[attr-defined]

    def canary_logprobs(self, token_ids: list[int]) -> list[float]:
        """log p of each token but the first under those before it, computed as a prompt's are.

        Only on an engine that is paused with its caches cleared: its blocks are then nobody's, and the steps made here,
        as vLLM's own warm-up makes them, come between no others. The requests in flight are resumed afterwards as if
        this had not been.
        """
        groups = self.model_runner.kv_cache_config.kv_cache_groups  # type: ignore[attr-defined]
        counts = [-(-len(token_ids) // group.kv_cache_spec.block_size) for group in groups]
        # Block 0 is vLLM's placeholder.
        places = [range(1 + sum(counts[:i]), 1 + sum(counts[: i + 1])) for i in range(len(counts))]
        step, end = SchedulerOutput.make_empty(), SchedulerOutput.make_empty()
        step.scheduled_new_reqs = [
            NewRequestData(
                req_id=CANARY,
                prompt_token_ids=token_ids,
                mm_features=[],
                sampling_params=SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0),
                pooling_params=None,
                block_ids=tuple(map(list, places)),
                num_computed_tokens=0,
                lora_request=None,
                prefill_token_ids=token_ids,
            )
        ]
        step.num_scheduled_tokens = {CANARY: len(token_ids)}
        step.total_num_scheduled_tokens = len(token_ids)
        end.finished_req_ids = {CANARY}
        try:
            output = self.execute_model(step) or self.sample_tokens(None)  # type: ignore[attr-defined]
        finally:
            self.execute_model(end)  # type: ignore[attr-defined]
        if isinstance(output, AsyncModelRunnerOutput):
            output = output.get_output()
        logprobs: list[float] = output.prompt_logprobs_dict[CANARY].logprobs[:, 0].tolist()
        return logprobs
