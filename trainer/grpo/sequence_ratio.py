"""How far learner and sampler disagree about a whole completion, from the log-ratios of its tokens. Pure torch."""

from __future__ import annotations

import torch
from torch import Tensor


def sequence_means(values_N: Tensor, sequences_N: Tensor, size: int) -> Tensor:
    """The mean (S,) over each completion's tokens; of log-ratios, the logarithm of the geometric mean of the ratios."""
    sums_S = values_N.new_zeros(size).index_add(0, sequences_N, values_N)
    return sums_S / torch.bincount(sequences_N, minlength=size).clamp(min=1)


@torch.no_grad()
def trusted_sequences(
    log_ratios_N: Tensor, sequences_N: Tensor, size: int, *, mean_gap: float, token_gap: float
) -> Tensor:
    """Which completions (S,) the learner may still learn from; 0 sets no bound.

    A completion is left out whole when the geometric mean of its tokens' ratios leaves [exp(-mean_gap), exp(mean_gap)]
    (a geometric sequence mask, as TRL and verl know it), or when any single ratio leaves [exp(-token_gap),
    exp(token_gap)] (what verl calls a veto): truncating a weight bounds its variance,
    but a completion that the learner would hardly ever sample is no sample of it.
    """
    trusted_S = torch.ones(size, dtype=torch.bool, device=log_ratios_N.device)
    if mean_gap:
        trusted_S &= sequence_means(log_ratios_N, sequences_N, size).abs() <= mean_gap
    if token_gap:
        extremes_S = log_ratios_N.new_zeros(size).scatter_reduce(0, sequences_N, log_ratios_N.abs(), "amax")
        trusted_S &= extremes_S <= token_gap
    return trusted_S
