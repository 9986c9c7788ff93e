"""The policy-gradient losses: pure functions of tensors, which import no Ray.

Every token's importance ratio is taken against the probability that its *sampler* gave it, so that one formula covers
on-policy data (ratio 1: plain REINFORCE), stale data (max_lag > 0), and numerics that differ between the two engines.

How tokens are averaged is not decided here: each row carries the weight of its tokens in the *whole* step
(`trainer.grpo.batch.token_weights`), so the losses of micro-batches and of learners simply add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.grpo.settings import GrpoSettings

LOG_RATIO_BOUND = 20.0
"""exp(20) is 5e8: far beyond any cap, and still finite in fp32 when squared."""


@dataclass(frozen=True, slots=True)
class LossInputs:
    """One micro-batch. B rows, T target positions; `mask_B_T` is true on completion tokens.

    `token_weights_B` sums to 1 over a step's tokens; a row that was sampled `counts_B` times already weighs as much.
    `reference_logprobs_B_T` is only needed with a KL coefficient.
    """

    logprobs_B_T: Tensor
    sampler_logprobs_B_T: Tensor
    mask_B_T: Tensor
    advantages_B: Tensor
    token_weights_B: Tensor
    counts_B: Tensor
    reference_logprobs_B_T: Tensor | None = None


@dataclass(frozen=True, slots=True)
class TokenStats:
    """What the loss saw of its N sampled tokens (those of a row as often as its count), before truncation; detached."""

    logprobs_N: Tensor
    log_ratios_N: Tensor
    clipped_N: Tensor


def policy_loss(inputs: LossInputs, settings: GrpoSettings) -> tuple[Tensor, TokenStats]:
    """The scalar loss of a micro-batch, and statistics of its tokens.

    `grpo`, `dapo` and `dr_grpo` share PPO's clipped surrogate (Schulman et al. 2017, arXiv 1707.06347) with separate
    bounds ("clip higher", DAPO: Yu et al. 2025, arXiv 2503.14476), and differ in how tokens are weighted. `cispo`
    (MiniMax-M1, arXiv 2506.13585) truncates the importance weight but keeps every token's gradient. In all of them the
    weight is truncated at `importance_cap` (truncated importance sampling), so that neither a stale token nor one that
    the two engines disagree about can dominate. KL is the k3 estimator (Schulman 2020).
    """
    advantages_B_1 = inputs.advantages_B[:, None]
    log_ratios = (inputs.logprobs_B_T - inputs.sampler_logprobs_B_T).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    ratios = log_ratios.exp()
    capped = ratios.clamp(max=settings.importance_cap)
    if settings.loss == "cispo":
        objective_B_T = capped.detach() * advantages_B_1 * inputs.logprobs_B_T
        clipped = ratios > settings.importance_cap
    else:
        bounded = ratios.clamp(1 - settings.clip_low, 1 + settings.clip_high)
        objective_B_T = torch.minimum(capped * advantages_B_1, bounded * advantages_B_1)
        positive = advantages_B_1 > 0
        clipped = (positive & (ratios > 1 + settings.clip_high)) | (
            ~positive & ((ratios < 1 - settings.clip_low) | (ratios > settings.importance_cap))
        )
    if settings.kl_coefficient and inputs.reference_logprobs_B_T is not None:
        drift = (inputs.reference_logprobs_B_T - inputs.logprobs_B_T).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
        objective_B_T = objective_B_T - settings.kl_coefficient * (drift.exp() - drift - 1)
    loss = -(objective_B_T * inputs.mask_B_T * inputs.token_weights_B[:, None]).sum()
    logprobs_B_T = inputs.logprobs_B_T.detach()
    per_token = (logprobs_B_T, logprobs_B_T - inputs.sampler_logprobs_B_T, clipped.detach())
    sampled = inputs.mask_B_T.repeat_interleave(inputs.counts_B, dim=0)
    return loss, TokenStats(*(values.repeat_interleave(inputs.counts_B, dim=0)[sampled] for values in per_token))


def token_metrics(stats: list[TokenStats]) -> dict[str, float]:
    """A step's statistics: the sampler-learner gap raw, in nats, before any truncation.

    `entropy` is minus the mean log-probability of the sampled tokens, an unbiased estimate for fresh ones.
    """
    log_ratios_N = torch.cat([s.log_ratios_N for s in stats]).float()
    gaps_N = log_ratios_N.abs()
    low, middle, high = torch.quantile(
        log_ratios_N[:QUANTILE_TOKENS].clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp(),
        torch.tensor([0.01, 0.5, 0.99], device=log_ratios_N.device),
    ).tolist()
    return {
        "entropy": -torch.cat([s.logprobs_N for s in stats]).float().mean().item(),
        "clip_fraction": torch.cat([s.clipped_N for s in stats]).float().mean().item(),
        "logprob_gap_mean": gaps_N.mean().item(),
        "logprob_gap_max": gaps_N.max().item(),
        "ratio_p01": low,
        "ratio_p50": middle,
        "ratio_p99": high,
        "trained_tokens": float(len(log_ratios_N)),
    }


QUANTILE_TOKENS = 1 << 23
"""`torch.quantile` takes at most 2**24 elements."""
