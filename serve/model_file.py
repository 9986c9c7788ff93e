"""Reads what a GGUF file says of itself, so that a bad file is a clear error before anything is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFReader, Keys

from serve.errors import ModelFileError


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a model says of itself: a GGUF file, or a Hugging Face folder, whose weights are all there."""

    path: Path
    name: str
    architecture: str
    context_length: int
    """Tokens it was trained on at once."""
    has_chat_template: bool
    vocabulary_size: int
    fim: tuple[int, int, int] | None
    """Token ids before the prefix, the suffix and the hole of a text to fill in, if it was trained with such."""
    bytes: int
    created: int
    """Unix time of its last change."""


def read_model_file(path: Path) -> ModelFile:
    """Read the header of `path`, and check that each tensor that it lists lies within the file.

    Raises:
        ModelFileError: missing, not a GGUF file, cut off, or not a language model.
    """
    if not path.is_file():
        raise ModelFileError(f"{path} does not exist. Give a GGUF file: `ferrotype export` makes one of a checkpoint.")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic != b"GGUF":
            raise ModelFileError(f"{path} is not a GGUF file. `ferrotype export` makes one from a checkpoint.")
        reader = GGUFReader(path)
        long = ("tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.merges")
        values = {key: field.contents() for key, field in reader.fields.items() if key not in long}
        architecture = str(values["general.architecture"])
        return ModelFile(
            path=path.resolve(),
            name=str(values.get("general.name") or path.stem),
            architecture=architecture,
            context_length=int(values[f"{architecture}.context_length"]),
            has_chat_template="tokenizer.chat_template" in values,
            vocabulary_size=len(reader.fields["tokenizer.ggml.tokens"].data),
            fim=_fim(values),
            bytes=path.stat().st_size,
            created=int(path.stat().st_mtime),
        )
    except (OSError, ValueError, LookupError, OverflowError, MemoryError) as error:
        raise ModelFileError(
            f"{path} is damaged or cut off ({error or type(error).__name__}). Copy or export it again."
        ) from error


def _fim(values: dict[str, Any]) -> tuple[int, int, int] | None:
    names = (Keys.Tokenizer.FIM_PRE_ID, Keys.Tokenizer.FIM_SUF_ID, Keys.Tokenizer.FIM_MID_ID)
    if any(name not in values for name in names):
        return None
    before, after, hole = (int(values[name]) for name in names)
    return before, after, hole
