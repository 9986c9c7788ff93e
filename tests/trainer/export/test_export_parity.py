"""llama.cpp computes from the exported file what torch computes from the checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_llama import RUST, write_checkpoint, write_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from trainer.export.errors import ExportError
from trainer.export.llama_cpp import LlamaCpp
from trainer.export.packing import EmbeddingType, LinearType
from trainer.export.parity import check_parity
from trainer.export.reference import Reference
from trainer.export.writer import export_gguf
from trainer.model import make_ternary, materialised_weights


@pytest.mark.parametrize(
    ("linear_type", "embedding_type"),
    [("F16", "F16"), ("BF16", "F32"), ("Q8_0", "Q8_0"), ("TQ2_0", "Q8_0"), ("TQ1_0", "Q8_0")],
)
def test_llama_cpp_agrees_with_torch(
    checkpoint: Path, prompts: list[list[int]], tmp_path: Path, linear_type: LinearType, embedding_type: EmbeddingType
) -> None:
    path = export_gguf(checkpoint, tmp_path / "model.gguf", linear_type, embedding_type).path
    report = check_parity(
        Reference(checkpoint), path, prompts, [RUST, *RUST.splitlines(), "<|user|>hi<|assistant|>fn f() {"]
    )
    assert report.linear_type == linear_type
    assert report.positions == 320
    assert report.gap_mean < report.gap_max < (0.02 if linear_type == "F16" else 0.5)
    assert abs(report.loss - report.torch_loss) < 0.02
    assert report.texts_tokenized_alike == report.texts > 20
    assert report.argmax_agreement >= 0.98
    if linear_type == "F16":
        assert report.greedy_equal == report.prompts == 20
    assert report.ok


@pytest.mark.parametrize(
    ("sizes", "padding"),
    [
        ({"ffn": 352, "tied": False}, "ffn 352 to 512"),
        ({"hidden": 192, "ffn": 352}, "hidden 192 to 256, ffn 352 to 512, heads 4 to 16, kv_heads 2 to 8"),
    ],
)
def test_a_model_that_does_not_fill_its_blocks_is_padded_and_still_agrees(
    prompts: list[list[int]], tmp_path: Path, sizes: dict[str, int], padding: str
) -> None:
    checkpoint = write_checkpoint(tmp_path / "odd", steps=30, **sizes)
    report = export_gguf(checkpoint, tmp_path / "model.gguf")
    assert report.padding == padding
    assert check_parity(Reference(checkpoint), report.path, prompts).argmax_agreement >= 0.98


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
        report = check_parity(Reference(checkpoint), path, prompts)
        assert report.argmax_agreement < 0.97
        assert not report.ok


def test_a_file_that_llama_cpp_cannot_load_is_a_clear_error(
    checkpoint: Path, prompts: list[list[int]], tmp_path: Path
) -> None:
    whole = export_gguf(checkpoint, tmp_path / "model.gguf").path
    half = tmp_path / "half.gguf"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ExportError, match=r"llama.cpp can't load .*half.gguf"):
        check_parity(Reference(checkpoint), half, prompts)


@pytest.mark.nightly
def test_a_125m_model_is_under_60_mb_and_68_percent_smaller_than_f16(tmp_path: Path) -> None:
    """Weights are drawn, not trained: neither size nor parity depends on what a model knows."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32_000, hidden_size=768, intermediate_size=2688, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    checkpoint = tmp_path / "nano"
    checkpoint.mkdir()
    write_tokenizer(checkpoint)
    config.save_pretrained(checkpoint)
    model = make_ternary(LlamaForCausalLM(config))
    save_file(materialised_weights(model), checkpoint / "model.safetensors", metadata={"format": "pt"})
    packed = export_gguf(checkpoint, tmp_path / "packed.gguf")
    whole = export_gguf(checkpoint, tmp_path / "whole.gguf", "F16", "F16")
    assert packed.parameters > 115e6
    assert packed.padding == "ffn 2688 to 2816"
    assert packed.bytes < 60e6
    assert packed.bytes < 0.32 * whole.bytes
    with LlamaCpp(packed.path, 64) as witness:
        assert len(witness.greedy([[5, 6, 7]], 4)[0]) == 4
