"""Asks a checkpoint for code, through the same engine that training samples from."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rollout.pool import RolloutPool
from rollout.types import GenerationRequest
from services.cluster import ray_cluster
from services.config import RunConfig
from trainer.corpus.tokenizer import chat_document
from trainer.grpo.codec import Codec


def generate(
    checkpoint: Path, prompt: str, config: RunConfig, *, chat: bool, max_tokens: int, temperature: float, seed: int
) -> str:
    """The completion of a prompt: Rust that goes on, or, with `chat`, the answer to an instruction."""
    codec = Codec(checkpoint)
    prompt_ids = codec.encode(chat_document(prompt, "") if chat else prompt)
    request = GenerationRequest("generate", prompt_ids, max_tokens, temperature, seed)

    async def ask() -> str:
        pool = await RolloutPool.start(checkpoint, config.rollout, codec.eos_token_id)
        try:
            async for completion in pool.generate([request]):
                return codec.decode(completion.token_ids)
        finally:
            await pool.close()
        return ""

    with ray_cluster(config.cluster):
        return asyncio.run(ask())
