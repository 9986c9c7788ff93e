"""Reads what a GGUF file says of itself, so that a bad file is a clear error before anything is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gguf import GGUFReader

from serve.errors import ModelFileError


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file whose header and tensors are all there."""

    path: Path
    name: str
    architecture: str
    context_length: int
    """Tokens it was trained on at once."""
    has_chat_template: bool
    bytes: int
    created: int
    """Unix time of its last change."""


def read_model_file(path: Path) -> ModelFile:
    """Read the header of `path`, and check that each tensor that it lists lies within the file.

    Raises:
        ModelFileError: missing, not a GGUF file, cut off, or not a language model.
    """
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ModelFileError(f"{path} {kind}. Give a GGUF file: `ferrotype export` makes one from a checkpoint.")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic != b"GGUF":
            raise ModelFileError(f"{path} is not a GGUF file. `ferrotype export` makes one from a checkpoint.")
        reader = GGUFReader(path)
        values = {key: reader.fields[key].contents() for key in reader.fields if not key.startswith("tokenizer.ggml")}
        architecture = str(values["general.architecture"])
        return ModelFile(
            path=path.resolve(),
            name=str(values.get("general.name") or path.stem),
            architecture=architecture,
            context_length=int(values[f"{architecture}.context_length"]),
            has_chat_template="tokenizer.chat_template" in values,
            bytes=path.stat().st_size,
            created=int(path.stat().st_mtime),
        )
    except (OSError, ValueError, LookupError, OverflowError, MemoryError) as error:
        raise ModelFileError(
            f"{path} is damaged or cut off ({error or type(error).__name__}). Copy or export it again."
        ) from error
