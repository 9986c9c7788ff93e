"""A model that was given: its supervised steps before RL, and what is said where there are none."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from services.config import RunConfig, resolve
from services.errors import RunFolderError
from services.events import Reporter, events
from services.phases import base, control, supervised
from services.run_folder import Finished, RunFolder
from trainer.checkpoint import save_checkpoint
from trainer.corpus.tokenizer import train_tokenizer
from trainer.model import build_model
from trainer.settings import ModelShape
from trainer.tasks.bank import build_bank

SHAPE = ModelShape(hidden_size=64, layers=1, heads=2, kv_heads=1, ffn_size=96, max_positions=512, ternary=False)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    bank = build_bank(train_per_family=1, unseen_tasks_per_family=0, unseen_family_tasks=0, max_difficulty=0.2)
    train_tokenizer([task.instruction + task.solved for task in bank.all], 400, folder / "tokenizer")
    model = build_model(SHAPE, 400)
    # As many published models have it: end-of-text is padding too.
    model.config.pad_token_id = model.config.eos_token_id
    return save_checkpoint(folder / "model", model, folder / "tokenizer", kind="test", step=0)


def started(tmp_path: Path, given: Path, steps: int) -> tuple[RunFolder, RunConfig]:
    """A run of it whose bank and first phases are done."""
    run = RunFolder(tmp_path / "run")
    sets = [f'start_from="{given}"', f"pretrain.start_steps={steps}", 'grpo.prompts="auto"', "pretrain.context=512",
            "pretrain.learning_rate=2e-2", "pretrain.warmup_steps=0"]  # fmt: skip
    config = resolve("ci", sets=sets)
    run.adopt(config)
    bank = build_bank(train_per_family=1, unseen_tasks_per_family=0, unseen_family_tasks=0, max_difficulty=0.2)
    bank.save(run.tasks)
    for name, phase in (("base", base), ("supervised", supervised)):
        said = StringIO()
        run.finish(Finished(name, 0.0, 1.0, 0, phase.run(run, config, Reporter(said))))
    said.seek(0)
    run.logs.mkdir(exist_ok=True)
    (run.logs / "said").write_text(said.getvalue())
    return run, config


def test_it_takes_its_steps_with_its_own_tokenizer_and_remembers_where_an_answer_ends(
    tmp_path: Path, given: Path
) -> None:
    run, config = started(tmp_path, given, 6)
    assert run.made("base") == given
    checkpoint = run.made("supervised")
    assert checkpoint == run.supervised / "step_6"
    losses = [event.figures["loss"] for event in events((run.logs / "said").open()) if event.figures]
    assert len(losses) == 6 and losses[-1] < 0.8 * losses[0]
    ours, its = (AutoTokenizer.from_pretrained(folder) for folder in (checkpoint, given))
    assert ours.chat_template == its.chat_template and ours.get_vocab() == its.get_vocab()
    assert config.supervised_steps == (0, 6)


def test_without_steps_rl_starts_with_it_as_it_is_and_there_is_no_control_arm(tmp_path: Path, given: Path) -> None:
    run, config = started(tmp_path, given, 0)
    assert run.made("supervised") == given
    run.finish(Finished("rl", 0.0, 1.0, 0, {"checkpoint": "x"}))
    with pytest.raises(RunFolderError, match=r"without supervised steps \(pretrain.start_steps = 0\)"):
        control.run(run, config, Reporter(StringIO()))
