"""The forward pass over packed rows: hidden states under the packing's mask, logits only where a token is predicted.

Two things are asked of a model, by trying a few tokens when it is loaded: that it takes a 4-D mask and positions
(then siblings share their prompt), and that its logits are its last hidden states times its head (then they are made in
chunks). Models that can't, such as ones with a sliding window, recurrent layers or ALiBi, or whose logits are scaled or
capped, still train: one row a completion, or with all logits at once. Knows no Ray.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rollout.canary import canary_tokens
from rollout.types import Canary
from trainer.grpo.logprobs import TokenScores, token_scores
from trainer.grpo.packing import Packable, PackedRows, fill, plan

MASKABLE = ("sdpa", "eager")
"""Implementations of attention that add a 4-D mask to their scores."""

PROBE_TOLERANCE = 1e-3
"""Nats: far above fp32's noise, far below what a token gains from seeing one that it shouldn't."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model was seen to do exactly."""

    shares_prompts: bool
    plain_head: bool


@dataclass(frozen=True, slots=True)
class PackedTensors:
    """`PackedRows` on the model's device. `mask_R_1_W_W` is None where every row holds one completion."""

    tokens_R_W: Tensor
    positions_R_W: Tensor | None
    mask_R_1_W_W: Tensor | None
    sources_N: Tensor
    targets_N: Tensor
    sequences_N: Tensor
    indices_S: Tensor


def to_tensors(rows: PackedRows, device: Any, *, shared: bool) -> PackedTensors:
    """Move rows to a device; with `shared`, make the additive mask that keeps siblings and groups apart."""
    tokens, positions, blocks, parts, sources, targets, sequences, indices = (
        torch.from_numpy(array).to(device)
        for array in (
            rows.tokens_R_W, rows.positions_R_W, rows.blocks_R_W, rows.parts_R_W,
            rows.sources_N, rows.targets_N, rows.sequences_N, rows.indices_S,
        )
    )  # fmt: skip
    mask = packing_mask(blocks, parts) if shared else None
    return PackedTensors(tokens, positions if shared else None, mask, sources, targets, sequences, indices)


def packing_mask(blocks_R_W: Tensor, parts_R_W: Tensor) -> Tensor:
    """(R, 1, W, W) fp32: 0 where a token may look (earlier in its block: the prompt, or its own part), else -inf."""
    width = blocks_R_W.shape[1]
    earlier_W_W = torch.ones(width, width, dtype=torch.bool, device=blocks_R_W.device).tril()
    same_block = blocks_R_W[:, :, None] == blocks_R_W[:, None, :]
    seen = (parts_R_W[:, None, :] == 0) | (parts_R_W[:, :, None] == parts_R_W[:, None, :])
    allowed = earlier_W_W & same_block & seen
    return torch.zeros_like(allowed, dtype=torch.float32).masked_fill_(~allowed, -torch.inf)[:, None]


def packed_scores(
    model: nn.Module, rows: PackedTensors, temperature: float, abilities: Abilities, *, entropy: bool = False
) -> TokenScores:
    """log p of every target, fp32 (N,), and on demand the entropy of what might have stood in its place."""
    inputs = {
        "input_ids": rows.tokens_R_W,
        "attention_mask": rows.mask_R_1_W_W,
        "position_ids": rows.positions_R_W,
        "use_cache": False,
    }
    head: Callable[[Tensor], Tensor]
    if abilities.plain_head:
        out_N, head = model.base_model(**inputs).last_hidden_state, FullPrecisionHead(model)
    else:
        out_N, head = model(**inputs).logits, nn.Identity()
    out_N = out_N.flatten(0, 1)[rows.sources_N]
    return token_scores(out_N, rows.targets_N, temperature, head, int(model.config.vocab_size), entropy=entropy)


def packed_logprobs(model: nn.Module, rows: PackedTensors, temperature: float, abilities: Abilities) -> Tensor:
    """log p of every target, fp32 (N,)."""
    return packed_scores(model, rows, temperature, abilities).logprobs_N


class FullPrecisionHead:
    """The model's head in fp32, also under autocast: probabilities are small differences of large logits."""

    def __init__(self, model: nn.Module) -> None:
        self._head: nn.Linear = model.get_output_embeddings()

    def __call__(self, hidden_N_H: Tensor) -> Tensor:
        with torch.autocast(hidden_N_H.device.type, enabled=False):
            bias = self._head.bias
            return nn.functional.linear(
                hidden_N_H.float(), self._head.weight.float(), None if bias is None else bias.float()
            )


@torch.no_grad()
def abilities_of(model: nn.Module) -> Abilities:
    """Try the model on two siblings and a stranger: packed, and one by one with its own logits."""
    training = model.training
    model.eval()
    try:
        device = next(model.parameters()).device
        vocabulary = int(model.config.vocab_size)
        tokens_B_T = torch.tensor([[3, 5, 7, 11, 13], [3, 5, 7, 17, 19], [23, 29, 31, 37, 0]]) % vocabulary
        packable = [Packable(0, 0, 3, 5), Packable(1, 0, 3, 5), Packable(2, 1, 2, 4)]
        apart, shared = (_try_batch(packable, tokens_B_T, device, shared=shared) for shared in (False, True))
        want = _by_sequence(packed_logprobs(model, apart, 1.0, Abilities(False, False)), apart)
        plain = isinstance(model.get_output_embeddings(), nn.Linear) and _agrees(
            model, apart, want, Abilities(False, True)
        )
        shares = _attends_to_all(model) and _agrees(model, shared, want, Abilities(True, plain))
        return Abilities(shares, plain)
    finally:
        model.train(training)


@torch.no_grad()
def canary_of(model: nn.Module, abilities: Abilities) -> Canary:
    """What the model makes of the prompt that proves an engine's arithmetic, by the forward pass of training."""
    training = model.training
    model.eval()
    try:
        ids = canary_tokens(int(model.config.vocab_size))
        rows = _try_batch(
            [Packable(0, 0, 1, len(ids))], torch.tensor([ids]), next(model.parameters()).device, shared=False
        )
        return Canary(ids, tuple(packed_logprobs(model, rows, 1.0, abilities).tolist()))
    finally:
        model.train(training)


def _try_batch(packable: list[Packable], tokens_B_T: Tensor, device: Any, *, shared: bool) -> PackedTensors:
    (rows,) = plan(packable, 64, share=shared)
    return to_tensors(fill(rows, tokens_B_T.numpy()), device, shared=shared)


def _by_sequence(logprobs_N: Tensor, rows: PackedTensors) -> dict[int, list[float]]:
    return {
        int(index): logprobs_N[rows.sequences_N == place].tolist()
        for place, index in enumerate(rows.indices_S.tolist())
    }


def _agrees(model: nn.Module, rows: PackedTensors, want: dict[int, list[float]], abilities: Abilities) -> bool:
    try:
        got = _by_sequence(packed_logprobs(model, rows, 1.0, abilities), rows)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError):
        return False
    return all(abs(a - b) < PROBE_TOLERANCE for i in want for a, b in zip(got[i], want[i], strict=True))


def _attends_to_all(model: nn.Module) -> bool:
    """False for windows and chunks, which show only in rows longer than the trial, and for attention without a mask."""
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return config._attn_implementation in MASKABLE and kinds == {"full_attention"} and not windowed
