"""Two real checkpoints through one real vLLM engine and the real farm."""

import asyncio
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from reward_farm.settings import FarmSettings
from rollout.settings import RolloutSettings
from trainer.checkpoint import save_checkpoint
from trainer.corpus.tokenizer import train_tokenizer
from trainer.evaluation.engine import checkpoint_sha256, checkpoint_weights
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.evaluation import load_evaluation
from trainer.evaluation.run import choose_tasks, evaluate_checkpoints
from trainer.evaluation.sample import Mode
from trainer.evaluation.settings import EvaluationSettings
from trainer.grpo.codec import Codec
from trainer.model import build_model
from trainer.settings import ModelShape
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Split

SHAPE = ModelShape(hidden_size=128, layers=2, heads=4, kv_heads=2, ffn_size=256, max_positions=512, ternary=False)
SETTINGS = EvaluationSettings(unseen_tasks=4, train_tasks=2, samples_per_task=2, max_tokens=24)

TRAINED_AND_UNSEEN = (Split.TRAIN, Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES)


@pytest.fixture(scope="module")
def checkpoints(bank: TaskBank, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random models, with weights large enough that each has its own greedy text."""
    root = tmp_path_factory.mktemp("checkpoints")
    tokenizer = train_tokenizer([task.prompt + task.reference for task in bank.all], 512, root / "tokenizer")
    made = {}
    for seed, label in enumerate(("base", "rl")):
        torch.manual_seed(seed)
        model = build_model(SHAPE, tokenizer.get_vocab_size())
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(5.0 if weight.ndim > 1 else 1.0)
        made[label] = save_checkpoint(root / label / "step_1", model, root / "tokenizer", kind=label, step=1)
    return made


def test_each_checkpoint_is_measured_with_its_own_weights(
    cluster: None, bank: TaskBank, checkpoints: dict[str, Path], tmp_path: Path
):
    seen: list[tuple[str, int, int]] = []

    def evaluate_all() -> None:
        asyncio.run(
            evaluate_checkpoints(
                checkpoints,
                bank,
                tmp_path,
                settings=SETTINGS,
                farm_settings=FarmSettings(workers=1),
                rollout_settings=RolloutSettings(kv_cache_mb=64, max_num_seqs=16),
                progress=lambda *step: seen.append(step),
            )
        )

    evaluate_all()
    assert seen[-1] == ("rl", 30, 30)
    assert [label for label, done, _ in seen if done == 0] == ["base", "rl"]
    texts: dict[str, list[str]] = {}
    for label, folder in checkpoints.items():
        evaluation, samples = load_evaluation(tmp_path / f"{label}.json")
        assert evaluation.checkpoint_sha256 == checkpoint_sha256(folder)
        assert "rustc 1." in evaluation.judged_by
        assert {(g.split, g.mode) for g in evaluation.groups} == {
            (split, mode) for split in TRAINED_AND_UNSEEN for mode in (Mode.SAMPLED, Mode.GREEDY)
        }
        codec, model = Codec(folder), AutoModelForCausalLM.from_pretrained(folder)
        greedy = [sample for sample in samples if sample.mode is Mode.GREEDY]
        for sample in greedy:
            ids = torch.tensor([codec.encode(sample.prompt)])
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
            assert sample.completion == codec.decode(out[0, ids.shape[1] :].tolist())
        texts[label] = [sample.completion for sample in greedy]
    assert texts["base"] != texts["rl"]

    before = (tmp_path / "rl.jsonl").read_bytes()
    seen.clear()
    evaluate_all()  # all there: no engine is started, nothing changes
    assert seen == [("base", 30, 30), ("rl", 30, 30)]
    assert (tmp_path / "rl.jsonl").read_bytes() == before


def test_tasks_are_chosen_alike_every_time_and_from_many_families(bank: TaskBank):
    settings = EvaluationSettings(unseen_tasks=12, train_tasks=3)
    chosen = choose_tasks(bank, settings)
    assert chosen == choose_tasks(bank, settings)
    by_split = {split: [task for task in chosen if task.split is split] for split in TRAINED_AND_UNSEEN}
    assert {split: len(tasks) for split, tasks in by_split.items()} == {
        Split.UNSEEN_TASKS: 12,
        Split.UNSEEN_FAMILIES: 12,
        Split.TRAIN: 3,
    }
    assert len({task.family for task in by_split[Split.UNSEEN_TASKS]}) >= 8
    assert len({task.id for task in chosen}) == 27


def test_what_is_no_checkpoint_is_named(tmp_path: Path, checkpoints: dict[str, Path]):
    with pytest.raises(EvaluationError, match="it has no"):
        checkpoint_sha256(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(EvaluationError, match="can't be read"):
        checkpoint_weights(tmp_path)
    with pytest.raises(EvaluationError, match=r"config\.json"):
        checkpoint_sha256(tmp_path)
    assert checkpoint_sha256(checkpoints["base"]) != checkpoint_sha256(checkpoints["rl"])
