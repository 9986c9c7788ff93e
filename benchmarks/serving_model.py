"""A model of the production preset's size, for `benchmarks.serving`. Its weights are drawn: size and speed don't depend
on what a model knows."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = 60_000
"""Drawn words to learn a vocabulary from: enough for all of its merges."""


def write_models(folder: Path) -> tuple[Path, Path]:
    """The model in ternary and in F16, under `folder`; written once."""
    import torch
    from safetensors.torch import save_file

    from services.config import resolve
    from trainer.export.writer import export_gguf
    from trainer.model import build_model, materialised_weights

    packed, whole = folder / "nano-ternary.gguf", folder / "nano-f16.gguf"
    if packed.exists() and whole.exists():
        return packed, whole
    run = resolve("production")
    checkpoint = folder / "nano"
    checkpoint.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    _write_tokenizer(checkpoint, run.corpus.vocab_size)
    model = build_model(run.model, run.corpus.vocab_size)
    model.config.save_pretrained(checkpoint)
    save_file(materialised_weights(model), checkpoint / "model.safetensors", metadata={"format": "pt"})
    export_gguf(checkpoint, whole, "F16", "F16")
    export_gguf(checkpoint, packed)
    return packed, whole


def words(seed: int, count: int) -> str:
    """Words of the kind that the vocabulary was learnt from."""
    drawn = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz_"
    return " ".join("".join(drawn.choices(letters, k=drawn.randint(2, 9))) for _ in range(count))


def _write_tokenizer(folder: Path, size: int) -> None:
    import json

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|endoftext|>", "<|pad|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator([words(0, WORDS)], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
