"""Packed rows compute what every completion would compute alone behind its prompt: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from trainer.grpo import logprobs
from trainer.grpo.forward import Abilities, abilities_of, packed_logprobs, to_tensors
from trainer.grpo.packing import Packable, fill, plan
from trainer.model import build_model
from trainer.settings import ModelShape

PLAIN = ModelShape(hidden_size=64, layers=2, heads=4, kv_heads=2, ffn_size=96, max_positions=256, ternary=False)
TERNARY = ModelShape(hidden_size=256, layers=2, heads=4, kv_heads=2, ffn_size=256, max_positions=256)
TINY = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
FAMILIES = {7: [12, 1, 30, 5], 3: [9, 9], 20: [4]}


def step() -> tuple[list[Packable], np.ndarray]:
    """Groups of completions, some of one token, with prompts of different lengths, and their padded tokens."""
    rng = np.random.default_rng(0)
    packable, rows = [], []
    for number, (start, lengths) in enumerate(FAMILIES.items()):
        prompt = rng.integers(2, 99, start)
        for length in lengths:
            packable.append(Packable(len(rows), number, start, start + length))
            rows.append(np.concatenate([prompt, rng.integers(2, 99, length)]))
    tokens = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = ids
    return packable, tokens


def packed(model, budget: int, *, share: bool, abilities: Abilities) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
    """Each completion's log-probabilities, and the gradient of a weighted sum of them."""
    packable, tokens = step()
    out = {}
    model.zero_grad()
    for batch in plan(packable, budget, share=share):
        rows = to_tensors(fill(batch, tokens), "cpu", shared=share)
        got = packed_logprobs(model, rows, 1.0, abilities)
        (got * (1 + rows.targets_N % 3)).sum().backward()
        for place, index in enumerate(rows.indices_S.tolist()):
            out[index] = got.detach()[rows.sequences_N == place]
    return out, torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("shape", [PLAIN, TERNARY], ids=["plain", "ternary"])
@pytest.mark.parametrize("budget", [64, 90, 1000])
def test_packed_equals_alone(shape, budget):
    torch.manual_seed(0)
    model = build_model(shape, 99)
    packable, tokens = step()
    want, loss = {}, torch.zeros(())
    for one in packable:
        ids = torch.from_numpy(tokens[one.index : one.index + 1, : one.length])
        targets = ids[0, one.start :]
        logits = model(input_ids=ids, use_cache=False).logits[0, one.start - 1 : -1]
        values = logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0]
        loss = loss + (values * (1 + targets % 3)).sum()
        want[one.index] = values.detach()
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert abilities_of(model) == Abilities(shares_prompts=True, plain_head=True)
    for share in (True, False):
        got, got_gradient = packed(model, budget, share=share, abilities=Abilities(share, True))
        for index, values in want.items():
            torch.testing.assert_close(got[index], values, rtol=0, atol=1e-5)
        torch.testing.assert_close(got_gradient / gradient.norm(), gradient / gradient.norm(), rtol=0, atol=1e-5)


def test_gradient_checkpointing_changes_no_gradient():
    torch.manual_seed(0)
    model = build_model(PLAIN, 99).train()
    _, want = packed(model, 200, share=True, abilities=Abilities(True, True))
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    _, got = packed(model, 200, share=True, abilities=Abilities(True, True))
    torch.testing.assert_close(got, want)


def test_models_that_cannot_share_or_have_another_head_are_known():
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=99, n_positions=64, n_embd=32, n_layer=1, n_head=2))
    window = MistralForCausalLM(MistralConfig(**TINY, num_key_value_heads=1, sliding_window=8))
    scaled = GraniteForCausalLM(GraniteConfig(**TINY, num_key_value_heads=1, logits_scaling=4.0))
    assert abilities_of(gpt2) == Abilities(True, True)
    assert abilities_of(window) == Abilities(False, True)
    for weight in scaled.parameters():
        weight.data.mul_(10 if weight.ndim > 1 else 1)
    assert abilities_of(scaled) == Abilities(True, False)
    whole, _ = packed(scaled, 200, share=True, abilities=abilities_of(scaled))
    alone, _ = packed(scaled, 200, share=False, abilities=Abilities(False, False))
    for index, values in alone.items():
        torch.testing.assert_close(whole[index], values, rtol=1e-4, atol=1e-4)


def test_bf16_layers_give_fp32_log_probabilities_near_the_exact_ones():
    torch.manual_seed(0)
    model = build_model(PLAIN, 99)
    exact, _ = packed(model, 200, share=True, abilities=Abilities(True, True))
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = packed(model, 200, share=True, abilities=Abilities(True, True))
    assert all(values.dtype == torch.float32 for values in rough.values())
    assert all(torch.allclose(rough[i], exact[i], atol=0.05) for i in exact)


def test_the_vocabulary_sets_no_tensor_in_the_graph(monkeypatch):
    """Nothing that backward keeps is as large as one chunk of logits, however many tokens are predicted."""
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 10_000)
    torch.manual_seed(0)
    vocabulary, tokens, hidden_size = 5000, 64, 8
    weight = torch.randn(vocabulary, hidden_size, requires_grad=True)
    hidden = torch.randn(tokens, hidden_size, requires_grad=True)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        out = logprobs.token_scores(
            hidden, torch.zeros(tokens, dtype=torch.long), 1.0, lambda h: h @ weight.T, vocabulary, entropy=True
        )
    out.logprobs_N.sum().backward()
    assert max(kept, default=0) <= weight.numel() < tokens * vocabulary
