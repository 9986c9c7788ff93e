"""Selected log-probabilities: exact, at the sampling temperature, and the same in chunks."""

from __future__ import annotations

import pytest
import torch

from trainer.grpo import logprobs


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("chunk_rows", [1000, 5, 1])
def test_values_and_gradients(monkeypatch, temperature, chunk_rows):
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 11, requires_grad=True)
    targets = torch.randint(0, 11, (3, 4))
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 11 * chunk_rows)
    got = logprobs.selected_logprobs(logits, targets, temperature)
    want = torch.log_softmax(logits / temperature, -1).gather(-1, targets[..., None])[..., 0]
    torch.testing.assert_close(got, want)
    weights = torch.randn(3, 4)
    (gradient,) = torch.autograd.grad((got * weights).sum(), logits, retain_graph=True)
    (expected,) = torch.autograd.grad((want * weights).sum(), logits)
    torch.testing.assert_close(gradient, expected)


def test_half_precision_logits_are_summed_in_fp32():
    logits = torch.full((1, 1, 5000), 8.0, dtype=torch.bfloat16)
    got = logprobs.selected_logprobs(logits, torch.zeros(1, 1, dtype=torch.long), 1.0)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(-torch.log(torch.tensor(5000.0)).item(), abs=1e-5)
