"""The shape of the Llama that a `config.json` describes, and whether GGUF can hold it. Never reads weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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


def padded(shape: LlamaShape, block: int) -> LlamaShape:
    """The smallest shape in which every row fills whole blocks, and which computes the same with zeros in the rest.

    Heads are added in whole groups that share a key, so that each query keeps its own.
    """
    queries = shape.heads // shape.kv_heads
    kv_heads = shape.kv_heads
    while kv_heads * queries * shape.head_dim % block:
        kv_heads += 1
    hidden = -(-shape.hidden // block) * block
    return replace(
        shape,
        hidden=hidden,
        ffn=-(-shape.ffn // block) * block,
        heads=kv_heads * queries,
        kv_heads=kv_heads,
        # The mean of squares is over more channels, all new ones zero: epsilon shrinks as that mean does.
        rms_eps=shape.rms_eps * shape.hidden / hidden,
    )


def padding_said(shape: LlamaShape, filled: LlamaShape) -> str:
    """What was filled up, such as `hidden 576 to 768`; empty if nothing was."""
    changed = ((name, getattr(shape, name), getattr(filled, name)) for name in ("hidden", "ffn", "heads", "kv_heads"))
    return ", ".join(f"{name} {before} to {after}" for name, before, after in changed if before != after)
