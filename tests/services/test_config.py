"""Presets, layers, the guide's variables, mistakes with their suggestions, and runs that must not change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.config import MAY_CHANGE, RunConfig, changes, preset_names, resolve, to_toml
from services.errors import ConfigError
from services.layers import known_keys
from services.run_folder import Finished, RunFolder


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_valid_and_survives_its_own_toml(preset: str, tmp_path: Path) -> None:
    config = resolve(preset)
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert resolve(path) == config


def test_later_layers_win_and_the_environment_wins_over_all(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 7\n[pretrain]\nbatch_size = 3\ncontext = 128\n[grpo]\niterations = 9\n")
    config = resolve(
        "ci", file, ["pretrain.context=64"], {"BATCH_SIZE": "5", "RL_ITERATIONS": "11", "DEVICE": "cuda:0"}
    )
    assert (config.pretrain.batch_size, config.pretrain.context, config.grpo.iterations) == (5, 64, 11)
    assert config.pretrain.device == "cuda:0"
    assert config.corpus.seed == config.grpo.seed == 7


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[pretrain]\nbatch_sze = 2\n", ["unknown key pretrain.batch_sze", "did you mean pretrain.batch_size?"]),
        ("[pretrian]\nbatch_size = 2\n", ["unknown key pretrian", "did you mean pretrain?"]),
        ("[pretrain]\nmax_model_len = 64\n", ["did you mean rollout.max_model_len?"]),
        ("[farm.weights]\ncompile = 1\n", ["did you mean farm.weights.compiles?"]),
        ("[grpo]\nzzz = 1\n", ["unknown key grpo.zzz", "knows:", "iterations"]),
        ("[pretrain]\nbatch_size = 0\n", ["pretrain.batch_size = 0", "greater than or equal to 1"]),
        ("[pretrain]\nbase_steps = 900\n", ["base_steps (900) must be below target_steps"]),
        ("[model]\nhidden_size = 320\n", ["multiples of 256", "320"]),
        ("[rollout]\nmax_model_len = 4096\n", ["beyond model.max_positions"]),
        ('[rollout]\ntransport = "nccl"\n[grpo]\nlearners = 2\n', ["set grpo.learners = 0 (it is 2)"]),
        ("[grpo]\nlora_rank = 8\n", ["grpo.lora_rank needs a model of ordinary weights", "set grpo.lora_rank = 0"]),
        ("pretrain = 3\n", ["pretrain"]),
        ("[pretrain\n", ["not TOML", "line 1"]),
    ],
)
def test_a_mistake_names_the_file_the_key_and_the_way_out(toml: str, words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(toml)
    with pytest.raises(ConfigError) as caught:
        resolve("ci", file)
    message = str(caught.value)
    for word in words:
        assert word in message
    if not message.startswith("together: "):
        assert str(file) in message


@pytest.mark.parametrize("variable", ["BATCH_SIZE", "TARGET_STEPS", "CHECKPOINT_INTERVAL", "RL_ITERATIONS"])
def test_a_variable_that_is_no_number_is_refused_by_name(variable: str) -> None:
    with pytest.raises(ConfigError, match=f"environment variable {variable}=abc: .* valid integer"):
        resolve("ci", environ={variable: "abc"})


def test_unknown_preset_and_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no preset 'embeded'. Presets: .*embedded"):
        resolve("embeded")
    with pytest.raises(ConfigError, match="no configuration file"):
        resolve("ci", tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"section.key=value"):
        resolve("ci", sets=["pretrain.batch_size"])


def test_a_run_goes_on_only_with_what_it_was_made_with(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.adopt(resolve("ci"))
    run.tasks.parent.mkdir()
    run.tasks.write_text("of the first configuration")
    run.adopt(resolve("ci", sets=["pretrain.batch_size=8", "corpus.vocab_size=512"]))
    assert run.config().corpus.vocab_size == 512, "nothing is finished yet: a mistake may be mended"
    assert not run.tasks.exists(), "and nothing of the mistake is taken over"
    run.adopt(resolve("ci"))
    run.finish(Finished("corpus", 0.0, 0.0, 0, {}))
    run.adopt(resolve("ci", sets=["farm.workers=2", "pretrain.threads=1"]))
    assert run.config().farm.workers == 2
    with pytest.raises(ConfigError) as caught:
        run.adopt(resolve("ci", sets=["pretrain.batch_size=3", "grpo.group_size=6"]))
    message = str(caught.value)
    assert "pretrain.batch_size: 8 in the run, 3 now" in message
    assert "grpo.group_size" in message
    assert "--run-dir" in message
    assert run.config().pretrain.batch_size == 8


def test_keys_that_may_change_exist() -> None:
    keys = set(known_keys(RunConfig))
    for pattern in MAY_CHANGE:
        assert pattern in keys or any(key.startswith(pattern.removesuffix("*")) for key in keys), pattern
    assert changes(resolve("ci"), resolve("ci", sets=["seed=1"])).keys() >= {"seed", "grpo.seed"}


def test_configuration_and_command_line_start_without_the_heavy_libraries() -> None:
    program = """
import sys
import services.cli, services.pipeline, services.config, reward_farm
services.config.resolve("embedded")
heavy = {"torch", "vllm", "ray", "transformers", "tokenizers", "numpy"} & sys.modules.keys()
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
