"""The vocabulary of a Hugging Face `tokenizer.json`, as GGUF wants it.

Only byte-level BPE is taken, and only with a pre-tokenizer that llama.cpp splits in the very same way: a near match
would feed the served model other tokens than it was trained on, silently. Never reads weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import TokenType

from trainer.errors import CheckpointError
from trainer.evaluation.form import find_markers
from trainer.export.errors import ExportError


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, their GGUF types, merges in order, and what llama.cpp must do around them."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    pre_tokenizer: str
    """llama.cpp's name of the pre-tokenizer."""
    bos_id: int
    eos_id: int
    pad_id: int | None
    chat_template: str | None
    fim_ids: tuple[int, int, int] | None
    """Of the tokens before the prefix, the suffix and the hole, if the tokenizer has such."""


def read_vocabulary(directory: Path, config: dict[str, Any]) -> Vocabulary:
    """Read `tokenizer.json` (and the chat template beside it) of a checkpoint whose `config.json` is `config`.

    Embedding rows without a token get an unused `[PAD<id>]`, so that there are `config["vocab_size"]` tokens.

    Raises:
        CheckpointError: the file is missing, no JSON, or lists an id that has no embedding row.
        ExportError: llama.cpp has no tokenizer that splits text in the same way.
    """
    path = directory / "tokenizer.json"
    try:
        tokenizer = json.loads(path.read_text())
        model, added = tokenizer["model"], tokenizer["added_tokens"]
        merges = tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model.get("merges", ()))
        ids = {**model["vocab"], **{token["content"]: token["id"] for token in added}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} can't be read as a tokenizer ({error}). "
            "Give a checkpoint folder with the tokenizer.json that it was trained with."
        ) from error
    if model.get("type") != "BPE":
        raise ExportError(f"{path} holds a {model.get('type')} tokenizer. Only byte-level BPE can be exported to GGUF.")

    size = int(config["vocab_size"])
    if max(ids.values()) >= size:
        raise CheckpointError(
            f"{path} has token id {max(ids.values())}, but the model has only {size} embeddings. "
            "Tokenizer and weights are of different models: give a folder in which they belong together."
        )
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [TokenType.UNUSED] * size
    for token, i in ids.items():
        tokens[i], types[i] = token, TokenType.NORMAL
    for token in added:
        types[token["id"]] = TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED

    eos = _first_id(config.get("eos_token_id"))
    if eos is None:
        raise CheckpointError(f"{directory / 'config.json'} names no eos_token_id: the served model could never stop.")
    bos = _first_id(config.get("bos_token_id"))
    return Vocabulary(
        tokens=tuple(tokens),
        types=tuple(int(kind) for kind in types),
        merges=merges,
        pre_tokenizer=_pre_tokenizer(tokenizer.get("pre_tokenizer"), path),
        bos_id=eos if bos is None else bos,
        eos_id=eos,
        pad_id=_first_id(config.get("pad_token_id")),
        chat_template=_chat_template(directory),
        fim_ids=_fim_ids(ids),
    )


def _fim_ids(ids: dict[str, int]) -> tuple[int, int, int] | None:
    markers = find_markers(ids.__contains__)
    return (ids[markers[0]], ids[markers[1]], ids[markers[2]]) if markers else None


def _first_id(value: int | list[int] | None) -> int | None:
    return value[0] if isinstance(value, list) else value


def _pre_tokenizer(spec: dict[str, Any] | None, path: Path) -> str:
    """llama.cpp's name for a pre-tokenizer: `smollm` is single digits, then GPT-2's regex; `gpt-2` the regex alone."""
    steps = spec["pretokenizers"] if spec and spec.get("type") == "Sequence" else [spec or {}]
    byte_level = steps[-1]
    plain = byte_level.get("type") == "ByteLevel" and byte_level["use_regex"] and not byte_level["add_prefix_space"]
    match [step.get("type") for step in steps]:
        case ["Digits", "ByteLevel"] if plain and steps[0]["individual_digits"]:
            return "smollm"
        case ["ByteLevel"] if plain:
            return "gpt-2"
    raise ExportError(
        f"{path}: llama.cpp has no pre-tokenizer equal to {json.dumps(spec)}. Those known to be equal are ByteLevel "
        "(add_prefix_space false, use_regex true), alone or after Digits (individual_digits true)."
    )


def _chat_template(directory: Path) -> str | None:
    """transformers keeps the template in a file of its own, or (older) in `tokenizer_config.json`."""
    separate, config = directory / "chat_template.jinja", directory / "tokenizer_config.json"
    if separate.exists():
        return separate.read_text()
    try:
        template = json.loads(config.read_text()).get("chat_template") if config.exists() else None
    except ValueError as error:
        raise CheckpointError(
            f"{config} is corrupt: {error}. Copy it again from where the checkpoint came from."
        ) from error
    return template if isinstance(template, str) else None
