"""Reads what a Hugging Face folder says of itself, so that a bad one is a clear error before anything is started.

Loads no weights, and imports neither torch nor transformers.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from serve.errors import ModelFileError
from serve.model_file import ModelFile

FIM_MARKERS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("<PRE>", "<SUF>", "<MID>"),
)
"""What families of models write before the prefix, the suffix and the hole: a folder has no field that says it."""

HEADER_LENGTH_BYTES = 8
"""At the beginning of a safetensors file."""

DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Safetensors' names of the types that a model may be served in."""


def read_model_folder(path: Path) -> ModelFile:
    """Read the settings in the folder `path`, and check that each of its weight files is there to its last byte.

    Raises:
        ModelFileError: it is no model's folder, something is missing or cut off, or it is not a language model.
    """
    config, tokenizer = _json(path / "config.json"), _json(path / "tokenizer.json")
    try:
        text = config.get("text_config", config)
        ids = {**tokenizer["model"]["vocab"], **{token["content"]: token["id"] for token in tokenizer["added_tokens"]}}
        weights = _weights(path)
        weights_type(path)
        return ModelFile(
            path=path.resolve(),
            name=path.resolve().name,
            architecture=str(config["model_type"]),
            context_length=int(text["max_position_embeddings"]),
            has_chat_template=(path / "chat_template.jinja").is_file() or _names_template(path),
            vocabulary_size=int(text["vocab_size"]),
            fim=next(
                ((ids[pre], ids[suf], ids[mid]) for pre, suf, mid in FIM_MARKERS if {pre, suf, mid} <= ids.keys()), None
            ),
            bytes=sum(file.stat().st_size for file in weights),
            created=int(max(file.stat().st_mtime for file in weights)),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{path} is not a language model that can be served ({type(error).__name__}: {error}). Give a folder as "
            "transformers saves it, with config.json, tokenizer.json and model.safetensors."
        ) from error


def weights_type(path: Path) -> str:
    """The type in which most of the model in the folder `path` was saved, and is served.

    Raises:
        ModelFileError: it is none that can be served.
    """
    sizes: Counter[str] = Counter()
    for file in _weights(path):
        for entry in _header(file).values():
            begin, end = entry["data_offsets"]
            sizes[entry["dtype"]] += end - begin
    [(most, _)] = sizes.most_common(1)
    if most not in DTYPES:
        raise ModelFileError(f"{path} has its weights as {most}; served are {', '.join(DTYPES)}.")
    return DTYPES[most]


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        raise ModelFileError(
            f"{file.parent} has no {file.name}. Give a GGUF file, or a folder with config.json, tokenizer.json and "
            "model.safetensors; an adapter must be merged first: `ferrotype export --type hf`."
        ) from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{file} is damaged ({error}). Copy or export it again.") from error
    return dict(found) if isinstance(found, dict) else {}


def _names_template(path: Path) -> bool:
    file = path / "tokenizer_config.json"
    return file.is_file() and bool(_json(file).get("chat_template"))


def _weights(path: Path) -> list[Path]:
    index = path / "model.safetensors.index.json"
    files = [path / "model.safetensors"]
    if index.is_file():
        files = [path / name for name in sorted(set(_json(index)["weight_map"].values()))]
    for file in files:
        if not file.is_file():
            raise ModelFileError(f"{path} has no {file.name}. Copy or export it again.")
    return files


def _header(file: Path) -> dict[str, Any]:
    """What a weight file lists, by tensor. Checks that all of it is there."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(HEADER_LENGTH_BYTES), "little")
        if length > size:
            raise ModelFileError(f"{file} is damaged or cut off. Copy or export it again.")
        header: dict[str, Any] = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    if size < HEADER_LENGTH_BYTES + length + max(entry["data_offsets"][1] for entry in header.values()):
        raise ModelFileError(f"{file} is cut off. Copy or export it again.")
    return header
