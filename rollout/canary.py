"""The canary: a fixed prompt, about whose tokens an engine and the learner must agree before the engine serves.

Checksums prove the factors of every product. They don't prove the arithmetic around them: normalisation, rotary
positions, attention, the kernels. So each push carries what the learner makes of one prompt, and the engine, while it
is paused, computes the same through its own forward pass. The gap of every training step sees decoding too, but only
after completions were sampled, mixed with the policy's lag, and without the name of the replica. Pure.
"""

from __future__ import annotations

from statistics import fmean

from rollout.types import Canary

CANARY_TOKENS = 16
"""Enough for attention and positions to count, few enough to cost a millisecond."""

LARGEST_GAPS = {"float32": 1e-3, "bfloat16": 0.5}
"""Mean nats a token. fp32 engines differ by 1e-6 to 1e-5. bf16 rounds each layer, and the tokens are unlikely ones,
whose log-probabilities are large: only an engine that computes another function is that far off."""


def canary_tokens(vocabulary: int) -> tuple[int, ...]:
    """The prompt: ids spread over the vocabulary, so that it says as much about one tokenizer as about another."""
    return tuple((2 * place + 1) * vocabulary // (2 * CANARY_TOKENS) for place in range(CANARY_TOKENS))


def canary_difference(canary: Canary, logprobs: tuple[float, ...], dtype: str) -> str | None:
    """What is wrong with an engine's log-probabilities of the canary, in words, or None."""
    gap = fmean(abs(ours - theirs) for ours, theirs in zip(logprobs, canary.logprobs, strict=True))
    # A gap that is not a number is no agreement either.
    if gap <= LARGEST_GAPS[dtype]:
        return None
    return (
        f"it holds the weights, but its log-probabilities of the canary prompt are {gap:.2g} nats a token off "
        f"(at most {LARGEST_GAPS[dtype]:g}): its kernels compute something else than the learner"
    )
