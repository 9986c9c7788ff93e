"""The objectives: what is maximised at each of N completion tokens. Pure torch, one function a method.

A ratio is the learner's probability of a token over its sampler's. Each returns the objective (N,) and which tokens'
gradients were clipped away or, for CISPO, truncated (N,). How tokens are weighted against each other, which is all that
tells GRPO, Dr. GRPO and DAPO apart, is in `trainer.grpo.batch.token_weights`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.grpo.sequence_ratio import sequence_means


def clipped(ratios_N: Tensor, advantages_N: Tensor, *, low: float, high: float, cap: float) -> tuple[Tensor, Tensor]:
    """PPO's surrogate, min(r A, clip(r, 1 - low, 1 + high) A) (Schulman et al. 2017, arXiv 1707.06347).

    Used by GRPO (Shao et al. 2024, arXiv 2402.03300), Dr. GRPO (Liu et al. 2025, arXiv 2503.20783) and DAPO (Yu et al.
    2025, arXiv 2503.14476), whose "clip higher" is `high` > `low`: rare tokens may grow. PPO leaves r unbounded where
    A < 0; `cap` bounds it (dual clip, Ye et al. 2020, arXiv 1912.09729).
    """
    bounded_N = ratios_N.clamp(1 - low, 1 + high)
    objective_N = torch.minimum(ratios_N.clamp(max=cap) * advantages_N, bounded_N * advantages_N)
    positive_N = advantages_N > 0
    outside_N = torch.where(positive_N, ratios_N > min(1 + high, cap), (ratios_N < 1 - low) | (ratios_N > cap))
    return objective_N, outside_N


def gspo(
    log_ratios_N: Tensor, sequences_N: Tensor, advantages_S: Tensor, *, low: float, high: float, cap: float
) -> tuple[Tensor, Tensor]:
    """GSPO (Zheng et al. 2025, arXiv 2507.18071): PPO's surrogate of s = (product of a completion's ratios)^(1/length).

    Every token of a completion has the completion's objective, so that the mean over its tokens is that.
    """
    ratios_S = sequence_means(log_ratios_N, sequences_N, len(advantages_S)).exp()
    objective_S, clipped_S = clipped(ratios_S, advantages_S, low=low, high=high, cap=cap)
    return objective_S[sequences_N], clipped_S[sequences_N]


def cispo(logprobs_N: Tensor, ratios_N: Tensor, advantages_N: Tensor, *, cap: float) -> tuple[Tensor, Tensor]:
    """CISPO (MiniMax-M1, 2025, arXiv 2506.13585): REINFORCE with weight min(r, cap), which has no gradient itself.

    No token loses its gradient. Since r is taken against the sampler, this is also truncated importance sampling (TIS;
    Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training") without PPO's clipping.
    """
    return ratios_N.clamp(max=cap).detach() * advantages_N * logprobs_N, ratios_N > cap
