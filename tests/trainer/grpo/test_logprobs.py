"""Selected log-probabilities: exact, at the sampling temperature, and the same in chunks."""

from __future__ import annotations

import math

import pytest
import torch

from trainer.grpo import logprobs


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("chunk_rows", [1000, 5, 1])
def test_values_and_gradients(monkeypatch, temperature, chunk_rows):
    torch.manual_seed(0)
    hidden = torch.randn(12, 6, requires_grad=True)
    weight = torch.randn(11, 6, requires_grad=True)
    targets = torch.randint(0, 11, (12,))
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 11 * chunk_rows)
    got = logprobs.token_scores(hidden, targets, temperature, lambda h: h @ weight.T, 11).logprobs_N
    want = torch.log_softmax(hidden @ weight.T / temperature, -1).gather(-1, targets[..., None])[..., 0]
    torch.testing.assert_close(got, want)
    weights = torch.randn(12)
    gradients = torch.autograd.grad((got * weights).sum(), (hidden, weight), retain_graph=True)
    expected = torch.autograd.grad((want * weights).sum(), (hidden, weight))
    torch.testing.assert_close(gradients, expected)


def test_half_precision_logits_are_summed_in_fp32():
    logits = torch.full((1, 5000), 8.0, dtype=torch.bfloat16)
    got = logprobs.token_scores(logits, torch.zeros(1, dtype=torch.long), 1.0, torch.nn.Identity(), 5000).logprobs_N
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(-torch.log(torch.tensor(5000.0)).item(), abs=1e-5)


@pytest.mark.parametrize("chunk_rows", [1000, 2])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_entropy_has_its_closed_form_and_no_gradient(monkeypatch, chunk_rows, temperature):
    """A fair die, a sure thing, and one that is sure with odds of e^k to 1 against each of the nine others."""
    k = 3.0
    logits = torch.zeros(3, 10)
    logits[1, 4], logits[2, 7] = 200.0, k
    logits.requires_grad_()
    odds = math.exp(k / temperature)
    sure = odds / (odds + 9)
    want = [math.log(10), 0.0, -sure * math.log(sure) - (1 - sure) * math.log((1 - sure) / 9)]
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 10 * chunk_rows)
    monkeypatch.setattr(logprobs, "ENTROPY_ELEMENTS", 10)
    scores = logprobs.token_scores(logits, torch.tensor([1, 4, 7]), temperature, torch.nn.Identity(), 10, entropy=True)
    assert scores.entropies_N.tolist() == pytest.approx(want, abs=1e-6)
    assert not scores.entropies_N.requires_grad
    assert scores.logprobs_N[2].item() == pytest.approx(math.log(sure), abs=1e-6)


def test_the_backward_pass_computes_a_chunk_again_but_not_its_entropy(monkeypatch):
    calls = []
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 20)
    monkeypatch.setattr(logprobs, "_entropies", lambda logprobs_N_V: calls.append(1) or logprobs_N_V.detach()[:, 0])
    hidden = torch.randn(8, 10, requires_grad=True)
    scores = logprobs.token_scores(hidden, torch.arange(8), 1.0, torch.nn.Identity(), 10, entropy=True)
    scores.logprobs_N.sum().backward()
    assert len(calls) == 4
