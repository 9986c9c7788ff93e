"""Losses: closed forms, finite differences, and that nothing about batching or padding can be seen in them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainer.grpo.loss import LossInputs, policy_loss, token_metrics
from trainer.grpo.settings import GrpoSettings

LOSSES = ["grpo", "dapo", "dr_grpo", "cispo"]


def inputs(logprobs, sampler, advantages, mask=None, weights=None, reference=None) -> LossInputs:
    logprobs = torch.as_tensor(logprobs, dtype=torch.float64)
    rows = len(logprobs)
    return LossInputs(
        logprobs_B_T=logprobs,
        sampler_logprobs_B_T=torch.as_tensor(sampler, dtype=torch.float64),
        mask_B_T=torch.ones_like(logprobs, dtype=torch.bool) if mask is None else torch.as_tensor(mask),
        advantages_B=torch.as_tensor(advantages, dtype=torch.float64),
        token_weights_B=torch.full((rows,), 1 / logprobs.numel(), dtype=torch.float64) if weights is None else weights,
        counts_B=torch.ones(rows, dtype=torch.long),
        reference_logprobs_B_T=reference,
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "slope", "clipped"),
    [
        (1.0, 2.0, 2.0, 2.0, False),
        (1.5, 2.0, 2.56, 0.0, True),
        (0.5, 2.0, 1.0, 1.0, False),
        (0.5, -2.0, -1.6, 0.0, True),
        (1.5, -2.0, -3.0, -3.0, False),
        (9.0, -2.0, -6.0, 0.0, True),
    ],
)
def test_clipped_surrogate(ratio, advantage, objective, slope, clipped):
    logprob = torch.tensor([[math.log(0.1 * ratio)]], dtype=torch.float64, requires_grad=True)
    settings = GrpoSettings(clip_low=0.2, clip_high=0.28, importance_cap=3.0)
    loss, stats = policy_loss(inputs(logprob, [[math.log(0.1)]], [advantage]), settings)
    loss.backward()
    assert loss.item() == pytest.approx(-objective)
    assert logprob.grad.item() == pytest.approx(-slope)
    assert stats.clipped_N.tolist() == [clipped]


def test_cispo_truncates_the_weight_and_keeps_the_gradient():
    logprob = torch.tensor([[math.log(0.9)]], dtype=torch.float64, requires_grad=True)
    loss, stats = policy_loss(
        inputs(logprob, [[math.log(0.1)]], [-2.0]), GrpoSettings(loss="cispo", importance_cap=3.0)
    )
    loss.backward()
    assert logprob.grad.item() == pytest.approx(6.0)
    assert stats.clipped_N.tolist() == [True]


@pytest.mark.parametrize("loss", LOSSES)
def test_on_policy_it_is_reinforce(loss):
    torch.manual_seed(0)
    logprobs = (-torch.rand(3, 5, dtype=torch.float64) * 4).requires_grad_()
    advantages = torch.tensor([1.5, -0.5, 0.25], dtype=torch.float64)
    value, _ = policy_loss(inputs(logprobs, logprobs.detach(), advantages), GrpoSettings(loss=loss))
    (gradient,) = torch.autograd.grad(value, logprobs)
    torch.testing.assert_close(gradient, -(advantages[:, None] / 15).expand(3, 5))


@pytest.mark.parametrize("kl", [0.0, 0.3])
@pytest.mark.parametrize("loss", ["dapo"])
def test_gradient_equals_finite_differences(loss, kl):
    torch.manual_seed(1)
    sampler = -torch.rand(4, 6, dtype=torch.float64) * 3
    logprobs = (sampler + 0.3 * torch.randn_like(sampler)).requires_grad_()
    reference = sampler + 0.2 * torch.randn_like(sampler)
    mask = torch.rand(4, 6) < 0.7
    settings = GrpoSettings(loss=loss, kl_coefficient=kl)

    def value(x: torch.Tensor) -> torch.Tensor:
        return policy_loss(inputs(x, sampler, [1.0, -2.0, 0.5, -0.1], mask, reference=reference), settings)[0]

    assert torch.autograd.gradcheck(value, (logprobs,), eps=1e-7, atol=1e-5)


def test_kl_is_zero_at_the_reference_and_positive_elsewhere():
    logprobs = torch.tensor([[-1.0, -2.0]], dtype=torch.float64)
    settings = GrpoSettings(kl_coefficient=1.0)
    at, _ = policy_loss(inputs(logprobs, logprobs, [0.0], reference=logprobs), settings)
    away, _ = policy_loss(inputs(logprobs, logprobs, [0.0], reference=logprobs - 0.5), settings)
    assert at.item() == 0.0
    assert away.item() == pytest.approx(math.exp(-0.5) + 0.5 - 1)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_lies_outside_the_mask_changes_nothing(loss):
    torch.manual_seed(2)
    logprobs, sampler = -torch.rand(2, 4, dtype=torch.float64), -torch.rand(2, 4, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, False], [True, True, True, False]])
    weights = torch.full((2,), 0.2, dtype=torch.float64)
    settings = GrpoSettings(loss=loss)
    value, stats = policy_loss(inputs(logprobs, sampler, [1.0, -1.0], mask, weights), settings)
    noisy = torch.where(mask, sampler, torch.full_like(sampler, -50.0))
    again, _ = policy_loss(inputs(logprobs, noisy, [1.0, -1.0], mask, weights), settings)
    assert value.item() == again.item()
    assert len(stats.log_ratios_N) == 5


def test_an_absurd_gap_stays_finite_and_is_reported_raw():
    logprobs = torch.tensor([[-1.0, -1.0]], requires_grad=True)
    value, stats = policy_loss(inputs(logprobs, [[-500.0, -1.0]], [-1.0]), GrpoSettings())
    value.backward()
    assert torch.isfinite(logprobs.grad).all()
    assert token_metrics([stats])["logprob_gap_max"] == 499.0


def test_token_metrics_pool_the_micro_batches():
    one, two = (policy_loss(inputs([[a]], [[b]], [1.0]), GrpoSettings())[1] for a, b in ((-1.0, -1.0), (-2.0, -1.0)))
    metrics = token_metrics([one, two])
    assert metrics["logprob_gap_mean"] == pytest.approx(0.5)
    assert metrics["logprob_gap_max"] == pytest.approx(1.0)
    assert metrics["entropy"] == pytest.approx(1.5)
    assert metrics["trained_tokens"] == 2.0
    assert metrics["ratio_p50"] == pytest.approx(np.quantile([1.0, math.exp(-1)], 0.5))
