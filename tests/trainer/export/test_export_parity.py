"""llama.cpp computes from the exported file what torch computes from the checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tiny_llama import RUST, write_checkpoint

from trainer.export.errors import ExportError
from trainer.export.parity import check_parity
from trainer.export.writer import EmbeddingType, LinearType, export_gguf


@pytest.mark.parametrize(("linear_type", "embedding_type"), [("F16", "F16"), ("TQ2_0", "Q8_0"), ("TQ1_0", "Q8_0")])
def test_llama_cpp_agrees_with_torch(
    checkpoint: Path, prompts: list[list[int]], tmp_path: Path, linear_type: LinearType, embedding_type: EmbeddingType
) -> None:
    path = export_gguf(checkpoint, tmp_path / "model.gguf", linear_type, embedding_type).path
    report = check_parity(checkpoint, path, prompts, [RUST, *RUST.splitlines(), "<|user|>hi<|assistant|>fn f() {"])
    assert report.linear_type == linear_type
    assert report.positions == 320
    assert report.texts_tokenized_alike == report.texts > 20
    assert report.argmax_agreement >= 0.98
    if linear_type == "F16":
        assert report.greedy_equal == report.prompts == 20
    assert report.ok


def test_an_ffn_that_must_be_padded_and_a_head_of_its_own_still_agree(prompts: list[list[int]], tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "odd", ffn=352, tied=False, steps=30)
    report = export_gguf(checkpoint, tmp_path / "model.gguf")
    assert report.ffn_padded_to == 512
    assert check_parity(checkpoint, report.path, prompts).argmax_agreement >= 0.98


def test_q_and_k_in_the_wrong_row_order_are_noticed(checkpoint: Path, prompts: list[list[int]], tmp_path: Path) -> None:
    """Undo the exporter's permutation beforehand: the file then holds transformers' row order."""
    disordered = tmp_path / "disordered"
    shutil.copytree(checkpoint, disordered)
    weights = load_file(checkpoint / "model.safetensors")
    for name, heads in (("q_proj", 4), ("k_proj", 2)):
        for layer in range(2):
            key = f"model.layers.{layer}.self_attn.{name}.weight"
            rows = weights[key].shape[0] // heads // 2
            weights[key] = weights[key].view(heads, rows, 2, -1).transpose(1, 2).reshape_as(weights[key]).contiguous()
    save_file(weights, disordered / "model.safetensors", metadata={"format": "pt"})

    for linear_type in ("F16", "TQ2_0"):
        path = export_gguf(disordered, tmp_path / f"{linear_type}.gguf", linear_type).path
        report = check_parity(checkpoint, path, prompts)
        assert report.argmax_agreement < 0.97
        assert not report.ok


def test_a_file_that_llama_cpp_cannot_load_is_a_clear_error(
    checkpoint: Path, prompts: list[list[int]], tmp_path: Path
) -> None:
    whole = export_gguf(checkpoint, tmp_path / "model.gguf").path
    half = tmp_path / "half.gguf"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ExportError, match=r"llama.cpp can't load .*half.gguf"):
        check_parity(checkpoint, half, prompts)
