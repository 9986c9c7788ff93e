"""Checkpoints: whole or absent, verified on load, pruned with care."""

import shutil
import subprocess
import sys

import pytest
import torch

from trainer.checkpoint import load_checkpoint, newest_checkpoint, prune, save_checkpoint
from trainer.errors import CheckpointError
from trainer.model import build_model, materialised_weights
from trainer.settings import ModelShape


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(ModelShape(layers=1, ffn_size=256), vocab_size=300)


def save(model, folder, step, **more):
    return save_checkpoint(folder / f"step_{step}", model, folder, kind="supervised", step=step, **more)


def test_round_trip_of_progress_and_state(model, tmp_path):
    state = {"optimizer": {"m": torch.arange(3.0)}, "rng": torch.get_rng_state()}
    loaded = load_checkpoint(save(model, tmp_path, 7, progress={"tokens": 12}, state=state))
    assert loaded.manifest is not None
    assert loaded.manifest.step == 7
    assert loaded.manifest.progress == {"tokens": 12}
    assert torch.equal(loaded.state["rng"], state["rng"])


@pytest.mark.parametrize("name", ["model.safetensors", "training/latent.safetensors", "config.json"])
def test_a_flipped_byte_is_found(model, tmp_path, name):
    folder = save(model, tmp_path, 1)
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(bytes(raw))
    with pytest.raises(CheckpointError, match=f"corrupt: {name} does not match"):
        load_checkpoint(folder)


def test_a_missing_file_and_a_broken_manifest_are_named(model, tmp_path):
    folder = save(model, tmp_path, 1)
    (folder / "training" / "latent.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"latent\.safetensors is missing"):
        load_checkpoint(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"manifest\.json is corrupt"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "nowhere")


def test_newest_ignores_what_is_not_finished_and_prune_keeps_intervals(model, tmp_path):
    for step in (3, 5, 10, 12):
        save(model, tmp_path, step)
    (tmp_path / "step_99").mkdir()
    (tmp_path / ".step_13.partial").mkdir()
    assert newest_checkpoint(tmp_path, "step_") == tmp_path / "step_12"
    prune(tmp_path, "step_", keep_every=5)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "step_99") == ["step_10", "step_12", "step_5"]


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    script = """
import sys, resource, signal
from pathlib import Path
import torch
from trainer.checkpoint import save_checkpoint
from trainer.errors import CheckpointError
from trainer.model import build_model, materialised_weights
from trainer.settings import ModelShape
model = build_model(ModelShape(layers=1, ffn_size=256), vocab_size=300)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
folder = Path(sys.argv[1])
try:
    save_checkpoint(folder / "step_1", model, folder, kind="supervised", step=1)
except CheckpointError as error:
    print("said:", error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert "could not be written" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_ternary_folder_without_its_latent_weights_computes_what_it_did(model, tmp_path):
    whole = save_checkpoint(tmp_path / "step_1", model, tmp_path, kind="supervised", step=1)
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(whole / name, kept)
    expected, found = (materialised_weights(load_checkpoint(folder).model) for folder in (whole, kept))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
