"""The exported file holds the checkpoint's weights, exactly; what can't be held is refused."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, quants
from safetensors.torch import load_file, save_file
from tiny_llama import CHAT_TEMPLATE, write_checkpoint

from trainer.errors import CheckpointError, TrainerError
from trainer.export.errors import ExportError
from trainer.export.facts import Facts, read_facts
from trainer.export.packing import LinearType
from trainer.export.tensors import permute_rope_rows
from trainer.export.writer import export_gguf


def weights_in(path: Path) -> dict[str, np.ndarray]:
    return {
        tensor.name: quants.dequantize(tensor.data, GGMLQuantizationType(tensor.tensor_type))
        for tensor in GGUFReader(path).tensors
    }


@pytest.mark.parametrize("linear_type", ["TQ2_0", "TQ1_0"])
def test_ternary_weights_come_back_bit_for_bit(checkpoint: Path, tmp_path: Path, linear_type: str) -> None:
    report = export_gguf(checkpoint, tmp_path / "model.gguf", linear_type)
    exported, source = weights_in(report.path), load_file(checkpoint / "model.safetensors")

    layer = {"ffn_down": "mlp.down_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj"}
    for ours, theirs in layer.items():
        assert np.array_equal(exported[f"blk.1.{ours}.weight"], source[f"model.layers.1.{theirs}.weight"].numpy())
    for ours, theirs, heads in (("attn_q", "q_proj", 4), ("attn_k", "k_proj", 2)):
        rows = permute_rope_rows(source[f"model.layers.1.self_attn.{theirs}.weight"].numpy(), heads)
        assert np.array_equal(exported[f"blk.1.{ours}.weight"], rows)
    assert np.array_equal(exported["output_norm.weight"], source["model.norm.weight"].numpy())
    assert report.parameters == sum(weight.numel() for weight in source.values())
    assert report.share_of_f16 < 0.25
    assert report.bytes == report.path.stat().st_size


def test_metadata_names_the_format_tokenizer_and_template(checkpoint: Path, tmp_path: Path) -> None:
    reader = GGUFReader(export_gguf(checkpoint, tmp_path / "model.gguf").path)

    def field(key: str) -> object:
        return reader.fields[key].contents()

    assert field("general.architecture") == "llama"
    assert field("tokenizer.ggml.pre") == "smollm"
    assert field("tokenizer.chat_template") == CHAT_TEMPLATE
    assert field("tokenizer.ggml.eos_token_id") == field("tokenizer.ggml.bos_token_id") == 0
    assert field("ferrotype.ternary_format") == "Q1_58"
    tokens = field("tokenizer.ggml.tokens")
    assert isinstance(tokens, list)
    assert tokens[:3] == ["<|endoftext|>", "<|pad|>", "<|user|>"]
    assert tokens[-1] == f"[PAD{len(tokens) - 1}]"


def test_exporting_again_gives_the_same_file_and_leaves_nothing_else(checkpoint: Path, tmp_path: Path) -> None:
    first = export_gguf(checkpoint, tmp_path / "model.gguf")
    assert export_gguf(checkpoint, tmp_path / "model.gguf").sha256 == first.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_weights_that_are_not_ternary_are_refused_as_ternary_only(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "float", ternary=False, steps=1)
    with pytest.raises(ExportError, match=r"q_proj.weight is not ternary: TQ2_0 would change .*Q8_0 or F16"):
        export_gguf(checkpoint, tmp_path / "model.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["float"]
    plain = GGUFReader(export_gguf(checkpoint, tmp_path / "q8.gguf", "Q8_0").path).fields
    assert "ferrotype.ternary_format" not in plain
    forced = export_gguf(checkpoint, tmp_path / "forced.gguf", force=True).path
    assert GGUFReader(forced).fields["ferrotype.ternary_forced"].contents() is True
    assert len(np.unique(weights_in(forced)["blk.0.ffn_up.weight"])) == 3


def test_the_file_says_whose_it_is_and_how_it_was_made(checkpoint: Path, tmp_path: Path) -> None:
    facts = Facts("apache-2.0", "mother", {"kind": "grpo", "step": 170, "rate": 0.5, "ternary": True})
    fields = GGUFReader(export_gguf(checkpoint, tmp_path / "model.gguf", facts=facts).path).fields
    told = {key: fields[key].contents() for key in fields if key.startswith(("general.", "ferrotype."))}
    assert told["general.license"] == "apache-2.0"
    assert told["general.base_model.0.name"] == "mother"
    assert told["ferrotype.training.kind"] == "grpo"
    assert told["ferrotype.training.step"] == 170
    assert told["ferrotype.training.rate"] == 0.5
    assert told["ferrotype.training.ternary"] is True


def test_facts_come_from_manifest_and_card(checkpoint: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    assert read_facts(copy) == Facts()
    (copy / "README.md").write_text("---\nlicense: mit\nbase_model:\n- a/b\n---\n# A model\n")
    progress = {"policy_version": 7, "unfinished": [1], "identity": {"loss": "dapo"}}
    manifest = {"schema": 1, "kind": "grpo", "step": 7, "ternary": True, "progress": progress, "files": {}}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    training = {"kind": "grpo", "loss": "dapo", "policy_version": 7, "preset": "ci", "step": 7, "ternary": True}
    assert read_facts(copy, more={"preset": "ci"}) == Facts("mit", "a/b", training)
    assert read_facts(copy, "apache-2.0").licence == "apache-2.0"
    (copy / "README.md").write_text("---\nlicense: [mit\n---\n")
    assert read_facts(copy).licence is None


def test_fill_in_the_middle_tokens_are_named(checkpoint: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    for i, content in enumerate(("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"), 600):
        tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": i, "content": content})
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    fields = GGUFReader(export_gguf(copy, tmp_path / "model.gguf").path).fields
    names = [f"tokenizer.ggml.fim_{part}_token_id" for part in ("pre", "suf", "mid")]
    assert [fields[name].contents() for name in names] == [600, 601, 602]


def test_shards_give_the_same_tensors_as_one_file(checkpoint: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    halves = {"a.safetensors": sorted(weights)[::2], "b.safetensors": sorted(weights)[1::2]}
    for name, keys in halves.items():
        save_file({key: weights[key] for key in keys}, copy / name)
    index = {"weight_map": {key: name for name, keys in halves.items() for key in keys}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    one = weights_in(export_gguf(checkpoint, tmp_path / "one.gguf").path)
    both = weights_in(export_gguf(copy, tmp_path / "both.gguf").path)
    assert one.keys() == both.keys() and all(np.array_equal(one[name], both[name]) for name in one)
    (copy / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"b.safetensors can't be read"):
        export_gguf(copy, tmp_path / "none.gguf")


@pytest.mark.parametrize("linear_type", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
def test_any_type_holds_any_weights_to_its_precision(tmp_path: Path, checkpoint: Path, linear_type: LinearType) -> None:
    step = {"F32": 0.0, "F16": 2**-10, "BF16": 2**-7, "Q8_0": 2**-7, "Q4_0": 2**-3}[linear_type]
    exported = weights_in(export_gguf(checkpoint, tmp_path / "model.gguf", linear_type, "F32").path)
    source = load_file(checkpoint / "model.safetensors")["model.layers.1.mlp.up_proj.weight"].numpy()
    assert np.abs(exported["blk.1.ffn_up.weight"] - source).max() <= step * np.abs(source).max()


def edit_config(checkpoint: Path, **changes: object) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_pre_tokenizer(checkpoint: Path) -> None:
    path = checkpoint / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["individual_digits"] = False
    path.write_text(json.dumps(tokenizer))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def poison(path: Path) -> None:
    weights = load_file(path)
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, path)


BROKEN: dict[str, tuple[Callable[[Path], object], type[TrainerError], str]] = {
    "another architecture": (lambda c: edit_config(c, model_type="gpt2"), ExportError, "model_type is 'gpt2'"),
    "scaled rope": (lambda c: edit_config(c, rope_parameters={"rope_type": "yarn"}), ExportError, "rope type"),
    "no config": (lambda c: (c / "config.json").unlink(), CheckpointError, "not a checkpoint"),
    "config without sizes": (lambda c: edit_config(c, hidden_size=None), CheckpointError, "incomplete"),
    "no weights": (lambda c: (c / "model.safetensors").unlink(), CheckpointError, "no model.safetensors"),
    "truncated weights": (lambda c: truncate(c / "model.safetensors"), CheckpointError, "corrupt"),
    "NaN weights": (lambda c: poison(c / "model.safetensors"), CheckpointError, "model.norm.weight has NaN"),
    "more layers than weights": (lambda c: edit_config(c, num_hidden_layers=3), CheckpointError, "layers.2"),
    "no tokenizer": (lambda c: (c / "tokenizer.json").unlink(), CheckpointError, "tokenizer.json can't be read"),
    "tokenizer of another model": (lambda c: edit_config(c, vocab_size=300), CheckpointError, "has token id"),
    "pre-tokenizer unknown to llama.cpp": (edit_pre_tokenizer, ExportError, "no pre-tokenizer equal"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_checkpoint_gets_one_clear_error_and_no_file(checkpoint: Path, tmp_path: Path, fault: str) -> None:
    breakage, kind, message = BROKEN[fault]
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    breakage(copy)
    with pytest.raises(kind, match=message):
        export_gguf(copy, tmp_path / "out" / "model.gguf")
    assert not list(tmp_path.glob("out/*")) and not list(tmp_path.glob("out/.*"))


def test_a_folder_that_cannot_be_written_is_an_error_with_its_cause(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportError, match="could not be written"):
        export_gguf(checkpoint, tmp_path / "file" / "model.gguf")
    with pytest.raises(ExportError, match="is a folder"):
        export_gguf(checkpoint, tmp_path)


def test_a_full_disk_leaves_the_old_file_and_no_partial_one(checkpoint: Path, tmp_path: Path) -> None:
    """A limit on the size of files makes the kernel refuse the write half-way, as a full disk does."""
    before = export_gguf(checkpoint, tmp_path / "model.gguf")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ExportError, match="could not be written: the disk took only part"):
            export_gguf(checkpoint, tmp_path / "model.gguf", "F16", "F16")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    assert export_gguf(checkpoint, tmp_path / "again.gguf").sha256 == before.sha256
    assert (tmp_path / "model.gguf").stat().st_size == before.bytes
