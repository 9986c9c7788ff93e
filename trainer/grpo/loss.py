"""The policy-gradient loss of a micro-batch, put together from its parts: pure functions of tensors, without Ray.

Every token's importance ratio is taken against the probability that its *sampler* gave it, so that one formula covers
on-policy data (ratio 1: plain REINFORCE), stale data (max_lag > 0), and numerics that differ between the two engines.

How tokens are averaged is not decided here: each completion carries the weight of its tokens in the *whole* step
(`trainer.grpo.batch.token_weights`), so the losses of micro-batches and of learners simply add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.grpo.divergence import divergence
from trainer.grpo.sequence_ratio import trusted_sequences
from trainer.grpo.settings import GrpoSettings
from trainer.grpo.surrogate import cispo, clipped, gspo

LOG_RATIO_BOUND = 20.0
"""exp(20) is 5e8: far beyond any cap, and still finite in fp32 when squared."""


@dataclass(frozen=True, slots=True)
class LossInputs:
    """One micro-batch: N completion tokens of S whole completions, however the learner packed them.

    `sequences_N` (int64) says which completion a token belongs to. `token_weights_S` sums to 1 over a step's tokens; a
    completion that was sampled `counts_S` times already weighs as much. `reference_logprobs_N` is only needed with a KL
    coefficient, `entropies_N` of the policy's distributions only for their mean.
    """

    logprobs_N: Tensor
    sampler_logprobs_N: Tensor
    sequences_N: Tensor
    advantages_S: Tensor
    counts_S: Tensor
    token_weights_S: Tensor
    reference_logprobs_N: Tensor | None = None
    entropies_N: Tensor | None = None


@dataclass(frozen=True, slots=True)
class TokenStats:
    """What the loss saw of its sampled tokens, each as often as its completion was sampled; untruncated, detached.

    `masked_N`: tokens of completions that were left out whole. `divergences_N`: k3, if there is a reference.
    """

    log_ratios_N: Tensor
    clipped_N: Tensor
    masked_N: Tensor
    divergences_N: Tensor | None = None
    entropies_N: Tensor | None = None


def policy_loss(inputs: LossInputs, settings: GrpoSettings) -> tuple[Tensor, TokenStats]:
    """The scalar loss of a micro-batch, and statistics of its tokens.

    The objectives are in `surrogate`, the penalty in `divergence`, the masks in `sequence_ratio`. In all losses a
    token's importance weight is truncated at `importance_cap`, so that neither a stale token nor one that the two
    engines disagree about can dominate. What is masked leaves the other completions' weights as they are.
    """
    raw_N = inputs.logprobs_N - inputs.sampler_logprobs_N
    log_ratios_N = raw_N.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    sequences_N, size = inputs.sequences_N, len(inputs.advantages_S)
    objective_N, clipped_N = _objective(inputs, log_ratios_N, settings)
    if settings.kl_coefficient and inputs.reference_logprobs_N is not None:
        objective_N = objective_N - settings.kl_coefficient * divergence(
            inputs.logprobs_N, inputs.reference_logprobs_N, settings.kl_estimator
        )
    trusted_N = trusted_sequences(
        raw_N.detach(), sequences_N, size, mean_gap=settings.mask_mean_gap, token_gap=settings.mask_token_gap
    )[sequences_N]
    loss = -(objective_N * inputs.token_weights_S[sequences_N])[trusted_N].sum()
    return loss, _stats(inputs, raw_N, clipped_N, ~trusted_N)


def _objective(inputs: LossInputs, log_ratios_N: Tensor, settings: GrpoSettings) -> tuple[Tensor, Tensor]:
    low, high, cap = settings.clip_low, settings.clip_high, settings.importance_cap
    if settings.loss == "gspo":
        return gspo(log_ratios_N, inputs.sequences_N, inputs.advantages_S, low=low, high=high, cap=cap)
    advantages_N = inputs.advantages_S[inputs.sequences_N]
    if settings.loss == "cispo":
        return cispo(inputs.logprobs_N, log_ratios_N.exp(), advantages_N, cap=cap)
    return clipped(log_ratios_N.exp(), advantages_N, low=low, high=high, cap=cap)


@torch.no_grad()
def _stats(inputs: LossInputs, raw_N: Tensor, clipped_N: Tensor, masked_N: Tensor) -> TokenStats:
    counts_N = inputs.counts_S[inputs.sequences_N]
    reference_N = inputs.reference_logprobs_N
    return TokenStats(
        log_ratios_N=raw_N.detach().repeat_interleave(counts_N),
        clipped_N=clipped_N.repeat_interleave(counts_N),
        masked_N=masked_N.repeat_interleave(counts_N),
        divergences_N=None
        if reference_N is None
        else divergence(inputs.logprobs_N, reference_N, "k3").repeat_interleave(counts_N),
        entropies_N=None if inputs.entropies_N is None else inputs.entropies_N.repeat_interleave(counts_N),
    )


def token_metrics(stats: list[TokenStats]) -> dict[str, float]:
    """A step's statistics: the sampler-learner gap raw, in nats, before any truncation.

    `entropy` is the mean over tokens of the entropy of the policy's whole distribution there, at the temperature of
    sampling. `kl` is the mean k3 estimate of the divergence from the reference, where there is one.
    """
    log_ratios_N = torch.cat([s.log_ratios_N for s in stats]).float()
    gaps_N = log_ratios_N.abs()
    low, middle, high = torch.quantile(
        log_ratios_N[:QUANTILE_TOKENS].clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp(),
        torch.tensor([0.01, 0.5, 0.99], device=log_ratios_N.device),
    ).tolist()
    divergences = [s.divergences_N for s in stats if s.divergences_N is not None]
    entropies = [s.entropies_N for s in stats if s.entropies_N is not None]
    return {
        **({"kl": torch.cat(divergences).float().mean().item()} if divergences else {}),
        **({"entropy": torch.cat(entropies).float().mean().item()} if entropies else {}),
        "clip_fraction": torch.cat([s.clipped_N for s in stats]).float().mean().item(),
        "masked_fraction": torch.cat([s.masked_N for s in stats]).float().mean().item(),
        "logprob_gap_mean": gaps_N.mean().item(),
        "logprob_gap_max": gaps_N.max().item(),
        "ratio_p01": low,
        "ratio_p50": middle,
        "ratio_p99": high,
        "trained_tokens": float(len(log_ratios_N)),
    }


QUANTILE_TOKENS = 1 << 23
"""`torch.quantile` takes at most 2**24 elements."""
