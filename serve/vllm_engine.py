"""vLLM: one Hugging Face folder, on a GPU or on cores. It runs in a process of its own, which ends with the engine.

    a scheduler's thread ─► generate ─► this engine's event loop ─► AsyncLLM ─► vLLM's process
                                               └─ deltas, in the loop's thread ─► on_delta

Never knows of HTTP requests, queues or OpenAI's fields.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from serve.engine import SEEDS, Delta, Sampling, TokenLogprob
from serve.errors import EngineError
from serve.hf_tokenizer import HfTokenizer
from serve.model_file import ModelFile
from serve.model_folder import DTYPE_BYTES, weights_type
from serve.settings import ServeSettings

KV_BLOCK_TOKENS = 32
"""vLLM shares prompts by whole blocks. Its default of 128 on a CPU is longer than most prompts of a small model."""

SMALLEST_TOP_P = 1e-6
"""OpenAI's 0, the likeliest token alone, is no value of vLLM's."""

ENVIRONMENT = {
    # Threads inherited from this process could hold locks in a forked one.
    "VLLM_WORKER_MULTIPROCESSING_METHOD": "spawn",
    # A model is a folder here: nothing may be fetched or reported behind the user's back.
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
CPU_ENVIRONMENT = {
    # vLLM's process runs the model itself: a worker of its own would cost a core's worth of polling.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # `auto` reserves one core a rank, which is half of a small machine.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # The first request with log-probabilities would compile C++ for 10 to 16 seconds to save nothing after that.
    "TORCHDYNAMO_DISABLE": "1",
}
"""Read by vLLM's process as it starts."""


class VllmEngine:
    """A loaded model."""

    def __init__(self, file: ModelFile, settings: ServeSettings) -> None:
        """Start vLLM's process, which takes half a minute and more.

        Raises:
            EngineError: vLLM refuses the model.
        """
        self.file = file
        self.context_length = settings.context_length or file.context_length
        os.environ.update(ENVIRONMENT)
        try:
            from vllm.platforms import current_platform
        except ImportError as error:
            raise EngineError(
                f"{file.path} is a folder, which vLLM serves, and vLLM is not installed: install "
                "ferrotype[rollout-gpu] or ferrotype[rollout], or make a GGUF file of it: `ferrotype export`."
            ) from error
        on_cpu = current_platform.is_cpu()
        if not on_cpu and not settings.gpus_per_replica:
            raise EngineError(f"vLLM on this machine runs {file.path} on a GPU: give the server one with --gpus 1.")
        if on_cpu:
            # More threads than idle cores make a busy machine ten times slower: they spin while they wait.
            os.environ.update(CPU_ENVIRONMENT, OMP_NUM_THREADS=str(settings.threads))
        self._text = HfTokenizer(file.path, file.vocabulary_size)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=_run, args=(self._loop,), name="vllm", daemon=True).start()
        try:
            self._llm: Any = self._wait(_start(_arguments(file, self.context_length, settings, on_cpu)))
        except Exception as error:
            self._loop.call_soon_threadsafe(self._loop.stop)
            raise EngineError(
                f"vLLM can't load {file.path} (architecture {file.architecture}, context {self.context_length}, "
                f"{settings.slots} slots): {' '.join(str(error).split()) or type(error).__name__}"
            ) from error
        # At the end of this process vLLM ends its own.
        weakref.finalize(self, _free, self._llm, self._loop).atexit = False

    def tokenize(self, text: str, special: bool = True) -> list[int]:
        """See `Engine`."""
        return self._text.tokenize(text, special)

    def detokenize(self, ids: Sequence[int]) -> str:
        """See `Engine`."""
        return self._text.detokenize(ids)

    def render_chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """See `Engine`."""
        return self._text.render_chat(messages)

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling, on_delta: Callable[[Delta], bool]) -> None:
        """See `Engine`. Calls `on_delta` in the loop's thread."""
        self._wait(self._generate(prompt_ids, sampling, on_delta))

    def check(self) -> None:
        """See `Engine`: asks vLLM's process, which answers between two steps."""
        try:
            self._wait(self._llm.get_weight_version())
        except Exception as error:
            raise EngineError(f"vLLM's process does not answer: {error or type(error).__name__}") from error

    async def _generate(self, prompt_ids: Sequence[int], sampling: Sampling, on_delta: Callable[[Delta], bool]) -> None:
        from vllm.exceptions import VLLMClientError

        written = 0
        try:
            prompt = {"prompt_token_ids": list(prompt_ids)}
            outputs = self._llm.generate(prompt, _parameters(sampling), request_id=uuid.uuid4().hex)
            async with aclosing(outputs):  # left early, vLLM takes it out of its batch
                async for output in outputs:
                    [sample] = output.outputs
                    if sample.finish_reason == "error":
                        raise EngineError("vLLM failed at this request.")
                    written += len(sample.token_ids)
                    logprobs = sample.logprobs or ()
                    delta = Delta(
                        text=sample.text,
                        logprobs=tuple(
                            self._logprob(token, at, sampling.logprobs or 0)
                            for token, at in zip(sample.token_ids, logprobs, strict=bool(logprobs))
                        ),
                        finish_reason=None if not output.finished else _reason(sample.finish_reason),
                        prompt_tokens=len(prompt_ids) if output.finished else 0,
                        completion_tokens=written if output.finished else 0,
                    )
                    if not on_delta(delta):
                        return
        except EngineError:
            raise
        except (VLLMClientError, ValueError) as error:
            raise EngineError(str(error), 400) from error
        except Exception as error:
            raise EngineError(f"vLLM failed at this request: {error or type(error).__name__}") from error

    def _logprob(self, token: int, at: Mapping[int, Any], alternatives: int) -> TokenLogprob:
        likeliest = sorted(at, key=lambda other: at[other].rank)[: max(1, alternatives)]
        top = tuple(self._token_logprob(other, at[other].logprob) for other in likeliest)
        return self._token_logprob(token, at[token].logprob, top)

    def _token_logprob(self, token: int, logprob: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        written = self._text.bytes_of(token)
        return TokenLogprob(written.decode(errors="replace"), tuple(written), logprob, top)

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _start(arguments: dict[str, Any]) -> Any:
    from vllm import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _free(llm: Any, loop: asyncio.AbstractEventLoop) -> None:
    """In a thread: it waits for vLLM's process to end, and whoever let the engine go may be an event loop."""

    def end() -> None:
        llm.shutdown()
        asyncio.run_coroutine_threadsafe(_cancel_rest(), loop).result()
        loop.call_soon_threadsafe(loop.stop)

    threading.Thread(target=end, name="vllm-end", daemon=True).start()


async def _cancel_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _arguments(file: ModelFile, context_length: int, settings: ServeSettings, on_cpu: bool) -> dict[str, Any]:
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(file.path, local_files_only=True).get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dtype = weights_type(file.path)
    token_bytes = 2 * config.num_hidden_layers * heads * width * DTYPE_BYTES[dtype]
    arguments: dict[str, Any] = {
        "model": str(file.path),
        "dtype": dtype,
        "max_model_len": context_length,
        "max_num_seqs": settings.slots,
        # As llama.cpp: every slot can fill its context, and there is room for earlier prompts.
        "kv_cache_memory_bytes": settings.slots * (context_length + KV_BLOCK_TOKENS) * token_bytes
        + (settings.prompt_cache_mb << 20),
        "tensor_parallel_size": max(1, int(settings.gpus_per_replica)),
        "disable_log_stats": True,
    }
    if on_cpu:
        arguments |= {
            "block_size": KV_BLOCK_TOKENS,
            # A seeded request whose prompt is computed in parts kills vLLM on a CPU.
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(4096, context_length),
            # Compiling takes longer than a small model gains from it.
            "enforce_eager": True,
        }
    return arguments


def _parameters(sampling: Sampling) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=max(SMALLEST_TOP_P, sampling.top_p),
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repetition_penalty=sampling.repeat_penalty,
        logit_bias=dict(sampling.logit_bias) or None,
        seed=None if sampling.seed is None else sampling.seed % SEEDS,
        stop=list(sampling.stop),
        logprobs=None if sampling.logprobs is None else max(1, sampling.logprobs),
        output_kind=RequestOutputKind.DELTA,
    )


def _reason(said: str) -> Any:
    return "length" if said == "length" else "stop"
