"""`ferrotype export` as its user meets it: what is chosen, what is refused and why, what is verified."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from gguf import GGUFReader
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from services.errors import UserError
from services.export import Order, export
from trainer.export.errors import ExportError
from trainer.export.reference import Reference
from trainer.tasks.bank import build_bank
from trainer.tasks.task import Split

sys.path.append(str(Path(__file__).parents[1] / "trainer" / "export"))
from tiny_llama import RUST, write_checkpoint


@pytest.fixture(scope="module")
def ternary_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("ternary") / "step_60")


@pytest.fixture(scope="module")
def float_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("float") / "step_60", ternary=False)


def types_in(path: Path) -> tuple[object, object]:
    fields = GGUFReader(path).fields
    return fields["ferrotype.linear_type"].contents(), fields["ferrotype.embedding_type"].contents()


def test_a_model_that_was_not_trained_ternary_is_told_what_ternary_would_do_to_it(
    float_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.gguf"
    damage = r"held-out loss goes from \d+\.\d\d to \d+\.\d\d nats a token \(guessing costs 6\.4\d\)"
    with pytest.raises(ExportError, match=f"not trained ternary, and TQ2_0 would destroy it: {damage}.*--force"):
        export(Order(float_dir, output, "ternary"))
    assert not output.exists()
    export(Order(float_dir, output, "ternary", force=True))
    assert types_in(output)[0] == "TQ2_0"
    assert "forced to TQ2_0: held-out loss goes" in capsys.readouterr().out
    export(Order(float_dir, output))
    assert types_in(output)[0] == "Q8_0"


def test_the_embedding_is_the_smallest_that_costs_next_to_nothing(ternary_dir: Path) -> None:
    reference = Reference(ternary_dir)
    before = reference.model.get_input_embeddings().weight.clone()
    costs = reference.embedding_costs(reference.encode([RUST]))
    assert [cost.kind for cost in costs] == ["Q4_0", "Q8_0"]
    assert [cost.bearable for cost in costs] == [False, True]
    assert costs[0].divergence > 10 * costs[1].divergence
    assert torch.equal(reference.model.get_input_embeddings().weight, before)


def test_verification_lays_every_type_beside_torch(
    ternary_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, card = tmp_path / "model.gguf", tmp_path / "card.md"
    export(Order(ternary_dir, output, licence="apache-2.0", card=card, compile_tasks=2, verify=True))
    told = capsys.readouterr().out
    for kind in ("F16", "Q8_0", "TQ2_0", "TQ1_0"):
        assert f"\n│ {kind} " in told
    assert told.count(" of 2 ") == 4 and "torch's held-out loss is" in told
    assert types_in(output)[0] == "TQ2_0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.md", "model.gguf"]
    text = card.read_text()
    assert text.startswith("---\nlicense: apache-2.0\n")
    assert "| compiles |" in text.splitlines()[text.splitlines().index("## Types beside torch") + 2]
    assert "## Types beside torch" in text and "| TQ1_0 |" in text


def test_a_file_that_is_not_the_checkpoint_is_not_kept(ternary_dir: Path, tmp_path: Path) -> None:
    """The tokenizer is changed after the weights were read: llama.cpp then splits text otherwise than torch's side."""
    from services.export_verify import NotTheSameModel, Verification
    from trainer.export.facts import Facts

    other = shutil.copytree(ternary_dir, tmp_path / "other")
    sources = [task.solved for task in build_bank(0, 0, 1, 0).tasks(Split.UNSEEN_TASKS)][:4]
    reference = Reference(ternary_dir)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:50]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    check = Verification(other, reference, sources, (), Facts(), "Q8_0", force=False)
    with pytest.raises(NotTheSameModel, match=r"was not written.*llama.cpp splits 4 of 4 texts otherwise"):
        check.run("TQ2_0", tmp_path / "out" / "model.gguf")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"kind": "q3_k"}, "--type q3_k is not known. Types: auto, ternary"),
        ({"embeddings": "q2"}, "--embeddings q2 is not known"),
        ({"kind": "hf", "verify": True}, "--verify can't go with --type hf"),
        ({"kind": "q8_0", "force": True}, "--type q8_0 keeps them"),
        ({"kind": "lora"}, "has no adapter"),
        ({"output": Path(__file__).parent, "verify": True}, "--output .* is a folder"),
        ({"card": Path(__file__) / "card.md"}, r"--card .*test_export.py is a file"),
    ],
)
def test_orders_that_make_no_sense_are_refused(
    ternary_dir: Path, tmp_path: Path, order: dict[str, object], message: str
) -> None:
    with pytest.raises((UserError, ExportError), match=message):
        export(Order(**{"checkpoint": ternary_dir, "output": tmp_path / "out", **order}))
    assert not list(tmp_path.iterdir())


def test_a_folder_for_transformers_holds_the_model_and_nothing_of_training(ternary_dir: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(ternary_dir, tmp_path / "step_1")
    (copy / "training").mkdir()
    (copy / "training" / "state.pt").write_bytes(b"optimizer")
    export(Order(copy, tmp_path / "out", "hf", licence="mit"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    ids = [[5, 6, 7]]
    assert torch.equal(Reference(tmp_path / "out").logprobs(ids[0]), Reference(ternary_dir).logprobs(ids[0]))
    with pytest.raises(ExportError, match="is there already"):
        export(Order(copy, tmp_path / "out", "hf"))


def test_an_adapter_is_merged_into_the_model_that_it_was_trained_over(float_dir: Path, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(float_dir, dtype=torch.float32)
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    adapter = tmp_path / "adapter"
    adapted.save_pretrained(adapter)
    ids = [7, 8, 9, 10]
    with torch.inference_mode():
        expected = adapted(torch.tensor([ids])).logits[0].log_softmax(-1)
    export(Order(adapter, tmp_path / "merged", "hf"))
    assert torch.allclose(Reference(tmp_path / "merged").logprobs(ids), expected, atol=1e-4)
    assert not torch.allclose(Reference(float_dir).logprobs(ids), expected, atol=1e-2)
    export(Order(adapter, tmp_path / "model.gguf", "f16"))
    assert types_in(tmp_path / "model.gguf") == ("F16", "F16")

    trained = shutil.copytree(float_dir, tmp_path / "rl-iter-1")
    shutil.copytree(adapter, trained / "adapter")
    export(Order(trained, tmp_path / "lora", "lora"))
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(float_dir), tmp_path / "lora")
    with torch.inference_mode():
        assert torch.allclose(again(torch.tensor([ids])).logits[0].log_softmax(-1), expected, atol=1e-5)
    assert "adapter in PEFT's form" in (tmp_path / "lora" / "README.md").read_text()

    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "/nowhere"}))
    with pytest.raises(ExportError, match="can't be merged: its base /nowhere is not here"):
        export(Order(adapter, tmp_path / "again", "hf"))
