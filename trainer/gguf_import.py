"""A GGUF file as a checkpoint to train on: its weights dequantised, its tokenizer and chat template taken along.

Written as a Hugging Face folder, whole or not at all. Trains nothing.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from trainer.corpus.atomic import atomic_folder
from trainer.errors import ImportFailed

GGUF_SUFFIX = ".gguf"
MAGIC = b"GGUF"


def import_gguf(file: Path, folder: Path) -> Path:
    """Write the causal LM of `file` to `folder` in fp32 and return the folder.

    Raises:
        ImportFailed: it is no GGUF file, or its architecture is none that transformers can open.
        WriteFailed: the disk refuses.
    """
    try:
        with file.open("rb") as opened:
            magic = opened.read(len(MAGIC))
    except OSError as error:
        raise ImportFailed(f"{file} can't be read: {error.strerror}.") from error
    if magic != MAGIC:
        raise ImportFailed(f"{file} is no GGUF file. Give one, or a folder in Hugging Face's form.")
    place, name = file.parent.resolve(), file.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
        model = AutoModelForCausalLM.from_pretrained(
            place, gguf_file=name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
    except Exception as error:  # a damaged file fails wherever its reader first trips
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImportFailed(f"{file} can't be opened as a causal LM: {reason}.") from error
    with atomic_folder(folder) as part:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
    return folder
