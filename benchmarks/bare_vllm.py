"""vLLM by itself, as its own manual uses it: the yardstick of `benchmarks.evaluation`. Lines of JSON in and out.

As `LLM`, which takes a batch and returns it whole, all in one process; or as `AsyncLLM`, which vLLM's own server is
built on and which alone can take new weights amid requests: its engine has a process of its own.
Runs in a process with the environment that `rollout.environment` gives an engine; imports nothing of the evaluator.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from vllm import LLM, AsyncEngineArgs, SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

from rollout.engine import KV_BLOCK_TOKENS, MAX_BATCHED_TOKENS
from rollout.settings import RolloutSettings


def main() -> None:
    """Arguments: a model's folder, its end-of-text token, rollout settings as JSON, `LLM` or `AsyncLLM`.

    Each line of stdin is a round.
    """
    folder, eos, settings, kind = (
        sys.argv[1],
        int(sys.argv[2]),
        RolloutSettings.model_validate_json(sys.argv[3]),
        sys.argv[4],
    )
    arguments: dict[str, Any] = {
        "model": folder,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "kv_cache_memory_bytes": settings.kv_cache_mb << 20,
        "block_size": KV_BLOCK_TOKENS,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(MAX_BATCHED_TOKENS, settings.max_model_len),
        "enforce_eager": True,
        "disable_log_stats": True,
    }
    with asyncio.Runner() as runner:
        llm = LLM(**arguments) if kind == "LLM" else runner.run(_started(arguments))
        for line in sys.stdin:
            requests = json.loads(line)
            prompts = [{"prompt_token_ids": r["ids"]} for r in requests]
            params = [
                SamplingParams(
                    temperature=r["temperature"], max_tokens=r["max_tokens"], seed=r["seed"], stop_token_ids=[eos],
                    detokenize=False, logprobs=r.get("logprobs"), output_kind=RequestOutputKind.FINAL_ONLY,
                )
                for r in requests
            ]  # fmt: skip
            begin = time.perf_counter()
            if isinstance(llm, LLM):
                outputs = llm.generate(prompts, params, use_tqdm=False)
            else:
                outputs = runner.run(_together(llm, prompts, params))
            seconds = time.perf_counter() - begin
            tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
            print("bare-vllm " + json.dumps({"tokens": tokens, "seconds": seconds}), flush=True)


async def _started(arguments: dict[str, Any]) -> AsyncLLM:
    return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))


async def _together(llm: AsyncLLM, prompts: list[Any], params: list[SamplingParams]) -> list[Any]:
    async def one(number: int) -> Any:
        async for output in llm.generate(prompts[number], params[number], request_id=str(number)):
            last = output
        return last

    return await asyncio.gather(*map(one, range(len(prompts))))


if __name__ == "__main__":
    main()
