"""Log-probabilities of given tokens, in fp32 and at the temperature that they were sampled with. Pure torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

CHUNK_ELEMENTS = 1 << 24
"""Logits turned to fp32 at once (64 MiB). Beyond it chunks are computed again in the backward pass, for the fp32
log-softmax of a 128k vocabulary would take more memory than the model."""


def selected_logprobs(logits_B_T_V: Tensor, targets_B_T: Tensor, temperature: float) -> Tensor:
    """log p(targets) under softmax(logits / temperature), as an fp32 (B, T) tensor.

    Position t of `targets_B_T` is the token that position t of the logits predicts.
    """
    logits_N_V, targets_N = logits_B_T_V.flatten(0, 1), targets_B_T.flatten()
    rows = max(1, CHUNK_ELEMENTS // logits_N_V.shape[-1])
    if rows >= len(targets_N):
        return _logprobs(logits_N_V, targets_N, temperature).view_as(targets_B_T)
    chunks = [
        checkpoint(_logprobs, logits, targets, temperature, use_reentrant=False)
        for logits, targets in zip(logits_N_V.split(rows), targets_N.split(rows), strict=True)
    ]
    return torch.cat(chunks).view_as(targets_B_T)


def _logprobs(logits_N_V: Tensor, targets_N: Tensor, temperature: float) -> Tensor:
    logits = logits_N_V.float()
    return -functional.cross_entropy(
        logits if temperature == 1.0 else logits / temperature, targets_N, reduction="none"
    )
