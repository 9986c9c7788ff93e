"""Losses: closed forms, finite differences, and that nothing about batching or padding can be seen in them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from trainer.grpo.divergence import divergence
from trainer.grpo.loss import LossInputs, policy_loss, token_metrics
from trainer.grpo.settings import GrpoSettings

LOSSES = ["grpo", "dapo", "dr_grpo", "gspo", "cispo"]


MASKS = {"mask_mean_gap": 0.25, "mask_token_gap": 0.6}


def settings_of(loss: str, **values) -> GrpoSettings:
    bounds = {"clip_low": 3e-4, "clip_high": 4e-4} if loss == "gspo" else {}
    return GrpoSettings(loss=loss, **bounds, **values)


def inputs(logprobs, sampler, advantages, sequences=None, counts=None, weights=None, reference=None) -> LossInputs:
    """By default one completion, and the mean over tokens."""
    logprobs = torch.as_tensor(logprobs, dtype=torch.float64)
    size = len(advantages)
    return LossInputs(
        logprobs_N=logprobs,
        sampler_logprobs_N=torch.as_tensor(sampler, dtype=torch.float64),
        sequences_N=torch.as_tensor([0] * len(logprobs) if sequences is None else sequences),
        advantages_S=torch.as_tensor(advantages, dtype=torch.float64),
        counts_S=torch.as_tensor([1] * size if counts is None else counts),
        token_weights_S=torch.as_tensor([1 / len(logprobs)] * size if weights is None else weights).double(),
        reference_logprobs_N=None if reference is None else torch.as_tensor(reference, dtype=torch.float64),
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
    logprob = torch.tensor([math.log(0.1 * ratio)], dtype=torch.float64, requires_grad=True)
    settings = GrpoSettings(clip_low=0.2, clip_high=0.28, importance_cap=3.0)
    loss, stats = policy_loss(inputs(logprob, [math.log(0.1)], [advantage]), settings)
    loss.backward()
    assert loss.item() == pytest.approx(-objective)
    assert logprob.grad.item() == pytest.approx(-slope)
    assert stats.clipped_N.tolist() == [clipped]


def test_cispo_truncates_the_weight_and_keeps_the_gradient():
    logprob = torch.tensor([math.log(0.9)], dtype=torch.float64, requires_grad=True)
    loss, stats = policy_loss(inputs(logprob, [math.log(0.1)], [-2.0]), GrpoSettings(loss="cispo", importance_cap=3.0))
    loss.backward()
    assert logprob.grad.item() == pytest.approx(6.0)
    assert stats.clipped_N.tolist() == [True]


@pytest.mark.parametrize("loss", LOSSES)
def test_on_policy_it_is_reinforce(loss):
    torch.manual_seed(0)
    sequences = torch.arange(3).repeat_interleave(5)
    logprobs = (-torch.rand(15, dtype=torch.float64) * 4).requires_grad_()
    advantages = torch.tensor([1.5, -0.5, 0.25], dtype=torch.float64)
    value, _ = policy_loss(inputs(logprobs, logprobs.detach(), advantages, sequences), settings_of(loss))
    (gradient,) = torch.autograd.grad(value, logprobs)
    torch.testing.assert_close(gradient, -advantages[sequences] / 15)


@pytest.mark.parametrize("loss", ["dapo", "gspo"])
@pytest.mark.parametrize("extra", [{}, {"kl_coefficient": 0.3}, {"kl_coefficient": 0.3, "kl_estimator": "k2"}, MASKS])
def test_gradient_equals_finite_differences(loss, extra):
    torch.manual_seed(1)
    sequences = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])
    sampler = -torch.rand(10, dtype=torch.float64) * 3
    logprobs = (sampler + 0.3 * torch.randn_like(sampler)).requires_grad_()
    reference = sampler + 0.2 * torch.randn_like(sampler)
    settings = GrpoSettings(loss=loss, clip_low=0.04, clip_high=0.05, **extra)

    def value(x: torch.Tensor) -> torch.Tensor:
        return policy_loss(inputs(x, sampler, [1.0, -2.0, 0.5, -0.1], sequences, reference=reference), settings)[0]

    assert torch.autograd.gradcheck(value, (logprobs,), eps=1e-7, atol=1e-5)
    assert torch.autograd.grad(value(logprobs), logprobs)[0].any()


def test_cispo_gradient_is_that_of_its_surrogate_with_the_weights_held():
    torch.manual_seed(1)
    sampler = -torch.rand(6, dtype=torch.float64)
    logprobs = (sampler + torch.randn_like(sampler)).requires_grad_()
    held = (logprobs - sampler).exp().clamp(max=1.5).detach()
    settings = GrpoSettings(loss="cispo", importance_cap=1.5)
    value, _ = policy_loss(inputs(logprobs, sampler, [-0.7]), settings)
    (gradient,) = torch.autograd.grad(value, logprobs)
    assert torch.autograd.gradcheck(lambda x: (held * 0.7 * x).mean(), (logprobs,), eps=1e-7, atol=1e-5)
    torch.testing.assert_close(gradient, held * 0.7 / 6)


@pytest.mark.parametrize(
    ("gap", "advantage", "objective", "slope"),
    [
        (0.02, 2.0, 2 * math.exp(0.02), 2 * math.exp(0.02) / 3),
        (0.3, 2.0, 2 * 1.05, 0.0),
        (0.3, -2.0, -2 * math.exp(0.3), -2 * math.exp(0.3) / 3),
        (-0.3, -2.0, -2 * 0.96, 0.0),
    ],
)
def test_gspo_is_the_surrogate_of_the_geometric_mean(gap, advantage, objective, slope):
    sampler = torch.tensor([-1.0, -2.0, -3.0], dtype=torch.float64)
    logprobs = (sampler + gap + torch.tensor([0.5, -0.2, -0.3], dtype=torch.float64)).requires_grad_()
    settings = GrpoSettings(loss="gspo", clip_low=0.04, clip_high=0.05)
    loss, stats = policy_loss(inputs(logprobs, sampler, [advantage]), settings)
    loss.backward()
    assert loss.item() == pytest.approx(-objective)
    torch.testing.assert_close(logprobs.grad, torch.full((3,), -slope, dtype=torch.float64))
    assert stats.clipped_N.tolist() == [slope == 0.0] * 3


def test_completions_beyond_the_bounds_are_left_out_whole():
    sampler = torch.full((7,), -2.0, dtype=torch.float64)
    gaps = torch.tensor([0.1, -0.1, 0.3, 0.3, 2.0, -2.0, 0.0], dtype=torch.float64)
    logprobs = (sampler + gaps).requires_grad_()
    sequences = [0, 0, 1, 1, 2, 2, 2]
    loss, stats = policy_loss(
        inputs(logprobs, sampler, [1.0, 1.0, 1.0], sequences, counts=[1, 3, 1]),
        GrpoSettings(mask_mean_gap=0.2, mask_token_gap=1.0, loss="cispo"),
    )
    loss.backward()
    assert logprobs.grad.bool().tolist() == [True, True, False, False, False, False, False]
    assert token_metrics([stats])["masked_fraction"] == pytest.approx(9 / 11)
    assert token_metrics([stats])["logprob_gap_max"] == pytest.approx(2.0), "the gap is reported raw"


@pytest.mark.parametrize(("name", "reverse"), [("k1", True), ("k2", True), ("k3", False)])
def test_divergence_has_the_published_mean_and_gradient(name, reverse):
    """Expectations over a whole distribution, against the closed form of the divergence and its gradient."""
    torch.manual_seed(3)
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(5, dtype=torch.float64).log_softmax(0)
    policy = logits.log_softmax(0)
    estimates = divergence(policy, reference, name)
    kl = (policy.exp() * (policy - reference)).sum()
    if name != "k2":
        assert (policy.exp() * estimates).sum().item() == pytest.approx(kl.item())
    wanted = kl if reverse else (reference.exp() * (reference - policy)).sum()
    (gradient,) = torch.autograd.grad((policy.exp().detach() * estimates).sum(), logits, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted, logits)[0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss": "gspo"}, "clip_low = 3e-4"),
        ({"overlong": "punish", "overlong_tokens": 500}, "every completion would be punished"),
        ({"overlong": "punish", "advantage": "max_rl"}, "divides by the mean reward"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        GrpoSettings(**settings)


def test_kl_is_zero_at_the_reference_and_positive_elsewhere():
    logprobs = torch.tensor([-1.0, -2.0], dtype=torch.float64)
    settings = GrpoSettings(kl_coefficient=1.0)
    at, _ = policy_loss(inputs(logprobs, logprobs, [0.0], reference=logprobs), settings)
    away, _ = policy_loss(inputs(logprobs, logprobs, [0.0], reference=logprobs - 0.5), settings)
    assert at.item() == 0.0
    assert away.item() == pytest.approx(math.exp(-0.5) + 0.5 - 1)
    stats = policy_loss(inputs(logprobs, logprobs, [0.0], reference=logprobs - 0.5), settings)[1]
    assert token_metrics([stats])["kl"] == pytest.approx(math.exp(-0.5) + 0.5 - 1)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_completion_of_count_two_is_two_completions(loss):
    torch.manual_seed(2)
    logprobs, sampler = -torch.rand(5, dtype=torch.float64), -torch.rand(5, dtype=torch.float64)
    settings = settings_of(loss)
    once, stats = policy_loss(inputs(logprobs, sampler, [1.0, -1.0], [0, 0, 1, 1, 1], [2, 1], [2 / 7, 1 / 7]), settings)
    twice, other = policy_loss(
        inputs(
            logprobs[[0, 1, 0, 1, 2, 3, 4]], sampler[[0, 1, 0, 1, 2, 3, 4]], [1.0, 1.0, -1.0], [0, 0, 1, 1, 2, 2, 2]
        ),
        settings,
    )
    torch.testing.assert_close(once, twice)
    assert sorted(stats.log_ratios_N.tolist()) == sorted(other.log_ratios_N.tolist())


def test_an_absurd_gap_stays_finite_and_is_reported_raw():
    logprobs = torch.tensor([-1.0, -1.0], requires_grad=True)
    value, stats = policy_loss(inputs(logprobs, [-500.0, -1.0], [-1.0]), GrpoSettings())
    value.backward()
    assert torch.isfinite(logprobs.grad).all()
    assert token_metrics([stats])["logprob_gap_max"] == 499.0


def test_token_metrics_pool_the_micro_batches():
    one, two = (
        policy_loss(replace(inputs([a], [b], [1.0]), entropies_N=torch.tensor([-a])), GrpoSettings())[1]
        for a, b in ((-1.0, -1.0), (-2.0, -1.0))
    )
    metrics = token_metrics([one, two])
    assert metrics["logprob_gap_mean"] == pytest.approx(0.5)
    assert metrics["logprob_gap_max"] == pytest.approx(1.0)
    assert metrics["entropy"] == pytest.approx(1.5)
    assert metrics["trained_tokens"] == 2.0
    assert metrics["ratio_p50"] == pytest.approx(np.quantile([1.0, math.exp(-1)], 0.5))
