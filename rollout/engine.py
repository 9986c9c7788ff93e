"""One vLLM engine: a request in, a `Completion` out, and the phases of a weight update. Knows nothing of Ray."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from vllm import AsyncEngineArgs, SamplingParams
from vllm.config import WeightTransferConfig
from vllm.distributed.weight_transfer.base import WeightTransferInitRequest, WeightTransferUpdateRequest
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

from rollout.settings import RolloutSettings
from rollout.types import Completion, GenerationRequest, PushProof, VersionSpan

# vLLM shares prompts by whole blocks of the KV cache. Its default of 128 on a CPU is longer than most prompts here.
KV_BLOCK_TOKENS = 32

MAX_BATCHED_TOKENS = 4096
"""Tokens of one forward pass: prompts that don't fit wait for the next one, whole."""


class VllmEngine:
    """A started engine over the model in `model_dir`. Blocks until it is up; raises whatever vLLM raises."""

    def __init__(self, model_dir: Path, settings: RolloutSettings, eos_token_id: int) -> None:
        self._eos_token_id = eos_token_id
        self._sampled = 0
        self._rests = False
        # What came by way of Ray is a file in shared memory by then.
        backend = "shm" if settings.transport == "ray" else settings.transport
        self._llm = AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=str(model_dir),
                # Token ids only: without a tokenizer there is no text, and no end-of-text but the one we name.
                skip_tokenizer_init=True,
                generation_config="vllm",
                dtype=settings.dtype,
                max_model_len=settings.max_model_len,
                max_num_seqs=settings.max_num_seqs,
                kv_cache_memory_bytes=settings.kv_cache_mb << 20,
                block_size=KV_BLOCK_TOKENS,
                # A seeded request whose prompt is computed in parts kills the engine on a CPU: vLLM then winds back the
                # request's generator, which only CUDA's can. After a push every request in flight is computed anew.
                enable_chunked_prefill=False,
                max_num_batched_tokens=max(MAX_BATCHED_TOKENS, settings.max_model_len),
                # Compiling takes longer than a small run gains from it.
                enforce_eager=True,
                # vLLM's default is the distribution before temperature, which isn't the one that was sampled from.
                logprobs_mode="processed_logprobs",
                disable_log_stats=True,
                weight_transfer_config=WeightTransferConfig(backend=backend),
                worker_extension_cls="rollout.weight_transfer.WeightProof",
                # Only an engine that shares its GPU with the learner is ever told to rest.
                enable_sleep_mode=settings.transport == "ipc",
            )
        )

    async def ready(self, version: int) -> None:
        """Names the weights that the engine came up with, and samples one token.

        A model that vLLM loads but can't run (a head size without a kernel) fails here, not under the first prompt.
        """
        await self._llm.update_weight_version(str(version))
        await self.generate(GenerationRequest(id="warm-up", prompt_ids=(self._eos_token_id,), max_tokens=1))

    async def generate(self, request: GenerationRequest) -> Completion:
        """Samples one completion; cancelling it frees its place. Raises vLLM's EngineDeadError when the engine died."""
        params = SamplingParams(
            n=1,
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            seed=request.seed,
            stop_token_ids=[self._eos_token_id],
            logprobs=0 if request.logprobs else None,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        prompt = {"prompt_token_ids": list(request.prompt_ids)}
        async for output in self._llm.generate(prompt, params, request_id=uuid.uuid4().hex):
            sample = output.outputs[0]
        self._sampled += len(sample.token_ids)
        return Completion(
            id=request.id,
            prompt_ids=request.prompt_ids,
            token_ids=tuple(sample.token_ids),
            logprobs=tuple(
                at[token].logprob for at, token in zip(sample.logprobs or (), sample.token_ids, strict=request.logprobs)
            ),
            finish_reason=sample.finish_reason,
            versions=tuple(VersionSpan(int(span.version), span.start, span.end) for span in sample.weight_versions),
        )

    async def connect(self, init_info: dict[str, Any]) -> None:
        """Opens the weight transport, by what the learner's end says of it."""
        await self._llm.init_weight_transfer_engine(WeightTransferInitRequest(init_info=init_info))

    async def rest(self) -> None:
        """Gives up its GPU memory, weights and KV cache, until weights are loaded again."""
        await self._llm.sleep(level=2, mode="keep")
        self._rests = True

    async def pause(self) -> None:
        """Freezes sampling. Requests in flight survive; their KV cache is recomputed with the next weights."""
        if not self._rests:
            await self._llm.pause_generation(mode="keep", clear_cache=True)

    async def load(self, update_info: dict[str, Any], version: int) -> None:
        """Replaces the weights of a paused engine by those that the transport offers.

        One that rests wakes in two stages: what the learner holds besides the weights is gone before there is a cache.
        """
        if self._rests:
            await self._llm.wake_up(tags=["weights"])
        await self._llm.start_weight_update()
        await self._llm.update_weights(WeightTransferUpdateRequest(update_info=update_info))
        await self._llm.finish_weight_update(str(version))
        if self._rests:
            await self._llm.wake_up(tags=["kv_cache"])
            self._rests = False

    async def prove(self, canary_ids: tuple[int, ...] = ()) -> PushProof:
        """Reads back version and weights; with `canary_ids`, for which it must be paused, what it makes of those."""
        (checksums,) = await self._llm.collective_rpc("held_checksums")
        logprobs: list[float] = []
        if canary_ids:
            (logprobs,) = await self._llm.collective_rpc("canary_logprobs", args=(list(canary_ids),))
        return PushProof(int(await self._llm.get_weight_version()), checksums, tuple(logprobs))

    async def progress(self) -> int:
        """Tokens sampled so far, said between two steps. Raises vLLM's EngineDeadError when its process is gone."""
        await self._llm.get_weight_version()
        under_way = self._llm.output_processor.request_states.values()
        return self._sampled + sum(state.detokenizer.num_output_tokens() for state in under_way)

    @property
    def dead(self) -> bool:
        """Its process is gone, or no longer heard."""
        return self._llm.errored

    async def resume(self) -> None:
        """Lets sampling go on, also after a failed update: a paused engine hangs whoever waits on it."""
        await self._llm.resume_generation()

    def shutdown(self) -> None:
        """Ends the engine's process."""
        self._llm.shutdown()
