"""Log-probabilities of given tokens, and entropies, in fp32 and at the temperature of sampling. Pure torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

CHUNK_ELEMENTS = 1 << 24
"""fp32 logits that exist at once (64 MiB). Beyond it they are made chunk by chunk, and again in the backward pass: all
logits of a 128k vocabulary would take more memory than the model."""

ENTROPY_ELEMENTS = 1 << 18
"""Probabilities that exist at once (1 MiB): they stay in a core's cache, and add nothing to the memory of a chunk."""


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Of N positions: log p of the given token, and, where it was asked for, the entropy of all tokens' distribution.

    The entropy has no gradient.
    """

    logprobs_N: Tensor
    entropies_N: Tensor | None


def token_scores(
    hidden_N_H: Tensor,
    targets_N: Tensor,
    temperature: float,
    head: Callable[[Tensor], Tensor],
    vocabulary: int,
    *,
    entropy: bool = False,
) -> TokenScores:
    """Log p(targets) under softmax(head(hidden) / temperature), fp32, and the entropy in nats of that distribution."""
    rows = max(1, CHUNK_ELEMENTS // vocabulary)
    if rows >= len(targets_N):
        return TokenScores(*_scores(hidden_N_H, targets_N, temperature, head, entropy))
    chunks = [
        checkpoint(_scores, hidden, targets, temperature, head, entropy, use_reentrant=False)
        for hidden, targets in zip(hidden_N_H.split(rows), targets_N.split(rows), strict=True)
    ]
    logprobs, entropies = zip(*chunks, strict=True)
    return TokenScores(torch.cat(logprobs), torch.cat(entropies) if entropy else None)


def _scores(
    hidden_N_H: Tensor, targets_N: Tensor, temperature: float, head: Callable[[Tensor], Tensor], entropy: bool
) -> tuple[Tensor, Tensor | None]:
    logits = head(hidden_N_H).float()
    logprobs_N_V = functional.log_softmax(logits if temperature == 1.0 else logits / temperature, dim=-1)
    selected_N = -functional.nll_loss(logprobs_N_V, targets_N, reduction="none")
    # Last, so that the backward pass, which computes a chunk again up to what it needs, leaves it out.
    return selected_N, _entropies(logprobs_N_V) if entropy else None


@torch.no_grad()
def _entropies(logprobs_N_V: Tensor) -> Tensor:
    rows = max(1, ENTROPY_ELEMENTS // logprobs_N_V.shape[-1])
    # An infinite logit is a broken model, and not to be hidden here: its entropy is no number.
    return torch.cat([-(part.exp().mul_(part)).sum(-1) for part in logprobs_N_V.split(rows)])
