"""Divergence from a reference policy, estimated at sampled tokens (Schulman 2020, "Approximating KL divergence").

With d = log reference - log policy of a token that the policy sampled, k1 and k3 are KL(policy, reference) on average;
k2 is biased and has little variance. What a loss does with them is decided by their gradients, on average over samples:

    k1  -d             gradient of KL(policy, reference); see below
    k2  d * d / 2      gradient of KL(policy, reference)
    k3  exp(d) - d - 1 gradient of KL(reference, policy)

(Liu et al. 2025, "Rethinking KL Regularization in RLHF", arXiv 2510.01555.) Pure torch.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

EstimatorName = Literal["k1", "k2", "k3"]

DRIFT_BOUND = 20.0
"""exp(20) is 5e8: as a bound it only keeps k3 finite."""


def divergence(logprobs_N: Tensor, reference_logprobs_N: Tensor, name: EstimatorName) -> Tensor:
    """The estimate at each token (N,), to be subtracted from the objective with its coefficient."""
    drift_N = (reference_logprobs_N - logprobs_N).clamp(-DRIFT_BOUND, DRIFT_BOUND)
    if name == "k1":
        return _k1_as_in_the_reward(logprobs_N, -drift_N.detach())
    if name == "k2":
        return drift_N.square() / 2
    return drift_N.exp() - drift_N - 1


def _k1_as_in_the_reward(logprobs_N: Tensor, estimates_N: Tensor) -> Tensor:
    """k1's value with the gradient that it has as a part of the reward: its own gradient is 0 on average."""
    score_N = estimates_N * logprobs_N
    return estimates_N + score_N - score_N.detach()
