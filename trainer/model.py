"""The policy: a plain Llama whose linear layers are ternary while it trains.

The *latent* weights are full precision and are what the optimizer moves. Every forward pass uses the *materialised*
weights, `clamp(round(w / s), -1, 1) * s` with one scale `s` a tensor, and the gradient goes straight through. `s` is
rounded to fp16 in training, since GGUF stores it so: what was trained is, bit for bit, what is exported.
Materialised weights are those of an ordinary Llama: transformers, vLLM and llama.cpp open them as they are.

Ternary weights: The Era of 1-bit LLMs (Ma et al. 2024, arXiv 2402.17764), weights only; straight-through estimator:
Bengio et al. 2013, arXiv 1308.3432.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from trainer.settings import ModelShape

TERNARY_LAYERS = frozenset(("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"))

SMALLEST_SCALE = 6.2e-5
"""Just above fp16's smallest normal number: a scale never becomes a subnormal, which some kernels flush to zero."""

ADAPTED, ADAPTER_PARTS = ".base_layer", ".lora_"
"""How PEFT names a layer that has an adapter, beneath that layer's own name, and the adapter's parts."""


def ternary(latent: Tensor) -> Tensor:
    """The ternary values of a weight matrix, times their fp16-exact scale: the mean absolute latent weight.

    Args:
        latent: (out, in), any float dtype.

    Returns:
        (out, in), same dtype, holding at most the three values -s, 0, s.
    """
    scale = latent.abs().mean().clamp_min(SMALLEST_SCALE).half().to(latent.dtype)
    return (latent / scale).round().clamp_(-1, 1).mul_(scale)


def latent_of(values: Tensor) -> Tensor:
    """Latent weights whose `ternary` values are exactly `values`: for a model of which only these are left."""
    share = (values != 0).to(values.dtype).mean()
    return values / share if share else values


class _StraightThrough(torch.autograd.Function):
    """`ternary` forward, identity backward."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor) -> Tensor:  # noqa: ARG004
        return ternary(latent)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        return grad


class TernaryLinear(nn.Linear):
    """A bias-free linear layer that keeps latent weights and computes with their ternary values."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, _StraightThrough.apply(self.weight))


def make_ternary(model: PreTrainedModel) -> PreTrainedModel:
    """Swap the model's projections for `TernaryLinear`, in place; embeddings, norms and head stay as they are."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if name in TERNARY_LAYERS and type(child) is nn.Linear:
                layer = TernaryLinear(child.in_features, child.out_features, bias=False, device=child.weight.device)
                layer.weight = child.weight
                setattr(module, name, layer)
    return model


def is_ternary(model: nn.Module) -> bool:
    """Whether the model trains ternary weights."""
    return any(isinstance(module, TernaryLinear) for module in model.modules())


def build_model(shape: ModelShape, vocab_size: int, *, eos_token_id: int = 0, pad_token_id: int = 1) -> PreTrainedModel:
    """A freshly initialised model; draw torch's seed before.

    Matrices that write into the residual stream start smaller by sqrt(2 * layers) (GPT-2's rule), so that depth
    doesn't set the scale of the first activations.
    """
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.ffn_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.max_positions,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        initializer_range=0.02,
        bos_token_id=eos_token_id,
        eos_token_id=eos_token_id,
        pad_token_id=pad_token_id,
        attn_implementation="sdpa",
        ferrotype={"ternary": shape.ternary},
    )
    model: PreTrainedModel = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.mul_((2 * shape.layers) ** -0.5)
    return make_ternary(model) if shape.ternary else model


def materialised_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights that the model computes with, under Hugging Face's names: fp32 on the CPU, no tied `lm_head`.

    This is what a checkpoint's `model.safetensors` holds, what rollout engines are pushed, and what is exported.
    Ternary layers' latent weights are rounded, and adapters (`trainer.adapter`) added to what they adapt.
    """
    layers = dict(model.named_modules())
    tied = bool(getattr(getattr(model, "config", None), "tie_word_embeddings", False))
    weights = {}
    with torch.no_grad():
        for name, weight in model.state_dict().items():
            if ADAPTER_PARTS in name or (tied and name == "lm_head.weight"):
                continue
            path, _, leaf = name.rpartition(".")
            if leaf == "weight" and isinstance(layers[path], TernaryLinear):
                weight = ternary(weight)
            elif leaf == "weight" and path.endswith(ADAPTED):
                weight = weight + layers[path.removesuffix(ADAPTED)].get_delta_weight("default")
            weights[name.replace(f"{ADAPTED}.", ".")] = weight.detach().float().cpu().contiguous().clone()
    return weights
