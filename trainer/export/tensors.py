"""The tensors of a Llama under llama.cpp's names and in its row order, filled up with zeros to whole blocks.

Filling up is exact in every dimension:
- feed-forward: silu(0) * 0 = 0, and the zero columns of down would ignore it anyway;
- heads: whole groups of a zero key, a zero value and their queries; what they attend to is zero;
- hidden: the new channels stay zero through every layer. RMSNorm would divide by the longer length, so its gains and
  epsilon are scaled by what that changes.
Reads weights, packs and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trainer.export.packing import Weights
from trainer.export.shape import LlamaShape
from trainer.export.source import Source


@dataclass(frozen=True, slots=True)
class _Kind:
    """A tensor of a layer: its GGUF and Hugging Face names, and its size in the checkpoint and in the file."""

    ours: str
    theirs: str
    size: tuple[int, ...]
    padded: tuple[int, ...]


def tensors(source: Source, shape: LlamaShape, padded: LlamaShape) -> Iterator[tuple[str, str, Weights]]:
    """Every tensor as (GGUF name, Hugging Face name, weights).

    Raises:
        CheckpointError: one is missing or damaged.
    """

    def load(kind: _Kind) -> Weights:
        weight = source.load(kind.theirs, kind.size)
        if kind.ours.endswith(("attn_q.weight", "attn_k.weight")):
            weight = permute_rope_rows(weight, kind.size[0] // shape.head_dim)
        weight = np.pad(weight, [(0, after - before) for before, after in zip(kind.size, kind.padded, strict=True)])
        if weight.ndim == 1 and padded.hidden != shape.hidden:
            weight = weight * np.float32(np.sqrt(shape.hidden / padded.hidden))
        return weight

    for kind in _kinds(shape, padded):
        yield kind.ours, kind.theirs, load(kind)


def permute_rope_rows(weight: Weights, heads: int) -> Weights:
    """Reorder the rows of q or k, (heads * head_dim, in): transformers rotates dimension i with i + head_dim / 2,
    llama.cpp rotates neighbours."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _kinds(shape: LlamaShape, padded: LlamaShape) -> Iterator[_Kind]:
    def kind(ours: str, theirs: str, *dimensions: str) -> _Kind:
        sizes = [tuple(_length(each, dimension) for dimension in dimensions) for each in (shape, padded)]
        return _Kind(f"{ours}.weight", f"{theirs}.weight", *sizes)

    yield kind("token_embd", "model.embed_tokens", "vocab", "hidden")
    for i in range(shape.layers):
        ours, theirs = f"blk.{i}", f"model.layers.{i}"
        yield kind(f"{ours}.attn_norm", f"{theirs}.input_layernorm", "hidden")
        yield kind(f"{ours}.attn_q", f"{theirs}.self_attn.q_proj", "heads", "hidden")
        yield kind(f"{ours}.attn_k", f"{theirs}.self_attn.k_proj", "kv_heads", "hidden")
        yield kind(f"{ours}.attn_v", f"{theirs}.self_attn.v_proj", "kv_heads", "hidden")
        yield kind(f"{ours}.attn_output", f"{theirs}.self_attn.o_proj", "hidden", "heads")
        yield kind(f"{ours}.ffn_norm", f"{theirs}.post_attention_layernorm", "hidden")
        yield kind(f"{ours}.ffn_gate", f"{theirs}.mlp.gate_proj", "ffn", "hidden")
        yield kind(f"{ours}.ffn_up", f"{theirs}.mlp.up_proj", "ffn", "hidden")
        yield kind(f"{ours}.ffn_down", f"{theirs}.mlp.down_proj", "hidden", "ffn")
    yield kind("output_norm", "model.norm", "hidden")
    if not shape.tied:
        yield kind("output", "lm_head", "vocab", "hidden")


def _length(shape: LlamaShape, dimension: str) -> int:
    length = int(getattr(shape, dimension))
    return length * shape.head_dim if dimension.endswith("heads") else length
