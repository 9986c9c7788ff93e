"""A GGUF file becomes a checkpoint again: the same logits, tokens and chat template."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_llama import write_checkpoint
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainer.errors import ImportFailed
from trainer.export.writer import export_gguf
from trainer.gguf_import import import_gguf

SOURCE = "/// Doubles.\npub fn double(x: i32) -> i32 {\n    x * 2\n}\n"


def test_what_was_exported_comes_back(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "made", ternary=False, steps=1)
    file = export_gguf(checkpoint, tmp_path / "model.gguf", "F16").path
    folder = import_gguf(file, tmp_path / "imported")
    ours, theirs = (AutoTokenizer.from_pretrained(place) for place in (checkpoint, folder))
    ids = theirs.encode(SOURCE)
    assert ids == ours.encode(SOURCE) and theirs.decode(ids) == SOURCE
    assert (theirs.eos_token_id, theirs.chat_template) == (ours.eos_token_id, ours.chat_template)
    logits = [
        AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)(torch.tensor([ids])).logits
        for place in (checkpoint, folder)
    ]
    assert torch.allclose(logits[0], logits[1][..., : logits[0].shape[-1]], atol=2e-2), "F16 rounds"


def test_what_is_no_gguf_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but not really")
    (tmp_path / "text.gguf").write_text("hello")
    for name, says in (
        ("broken.gguf", "can't be opened"),
        ("text.gguf", "no GGUF file"),
        ("none.gguf", "No such file"),
    ):
        with pytest.raises(ImportFailed, match=says):
            import_gguf(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()
