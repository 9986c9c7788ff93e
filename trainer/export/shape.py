"""The shape of the Llama that a `config.json` describes, and whether GGUF can hold it. Never reads weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from trainer.errors import CheckpointError
from trainer.export.errors import ExportError


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The Llama that `config.json` describes."""

    name: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    positions: int
    rms_eps: float
    rope_theta: float
    tied: bool


def read_config(directory: Path) -> dict[str, Any]:
    """The `config.json` of a checkpoint.

    Raises:
        CheckpointError: it is missing or no JSON object.
    """
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text())
    except OSError as error:
        raise CheckpointError(
            f"{directory} is not a checkpoint: config.json can't be read ({error.strerror})."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path} is corrupt: {error}.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is corrupt: it holds no JSON object.")
    return config


def read_shape(directory: Path, config: dict[str, Any]) -> LlamaShape:
    """The shape that `config` gives.

    Raises:
        CheckpointError: a size is missing.
        ExportError: not a Llama, or one with parts (biases, scaled RoPE) that GGUF's plain Llama lacks.
    """
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    expected = {
        "model_type": (config.get("model_type"), "llama"),
        "hidden_act": (config.get("hidden_act", "silu"), "silu"),
        "attention_bias": (bool(config.get("attention_bias")), False),
        "mlp_bias": (bool(config.get("mlp_bias")), False),
        "rope type": (rope.get("rope_type", rope.get("type", "default")), "default"),
    }
    for key, (got, wanted) in expected.items():
        if got != wanted:
            raise ExportError(
                f"{directory} can't be exported: its {key} is {got!r}, and this exporter writes only plain Llamas "
                f"({key} {wanted!r}). Convert other models with llama.cpp's convert_hf_to_gguf.py."
            )
    try:
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        return LlamaShape(
            name=f"{directory.resolve().parent.name}-{directory.resolve().name}",
            layers=int(config["num_hidden_layers"]),
            hidden=hidden,
            ffn=int(config["intermediate_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or hidden // heads),
            vocab=int(config["vocab_size"]),
            positions=int(config["max_position_embeddings"]),
            rms_eps=float(config["rms_norm_eps"]),
            rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0),
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{directory / 'config.json'} is incomplete: {error!r}.") from error


def _block(kind: str) -> int:
    return int(GGML_QUANT_SIZES[GGMLQuantizationType[kind]][0])


def padded_ffn(shape: LlamaShape, linear_type: str) -> int:
    """The FFN's length, rounded up to whole blocks of `linear_type`."""
    block = _block(linear_type)
    return -(-shape.ffn // block) * block


def check_blocks(shape: LlamaShape, linear_type: str, embedding_type: str) -> None:
    """Rows that can't be padded must fill their blocks.

    Raises:
        ExportError: one does not.
    """
    rows = {
        "hidden_size": (shape.hidden, linear_type),
        "attention width (heads * head_dim)": (shape.heads * shape.head_dim, linear_type),
        "embedding width (hidden_size)": (shape.hidden, embedding_type),
    }
    for what, (length, kind) in rows.items():
        if length % _block(kind):
            raise ExportError(
                f"{kind} packs rows in blocks of {_block(kind)}, and this model's {what} is {length}. "
                f"Train a model whose {what} is a multiple of {_block(kind)}, or export with linear type Q8_0 or F16"
                f"{' and embedding type F16' if length % _block('Q8_0') else ''}."
            )
