"""Checkpoints: an HF folder that any tool opens, plus what training needs to go on.

    step_2000/
      config.json  generation_config.json  model.safetensors      the materialised model
      tokenizer.json  tokenizer_config.json ...                   copied from the run's tokenizer
      training/latent.safetensors  training/state.pt              latent weights; optimizer, RNG, cursors
      adapter/                                                    a low-rank adapter, where only one was trained
      manifest.json                                               kind, step, every file's size and SHA-256

A checkpoint is written beside, fsynced and renamed: a folder with its final name is whole. `load_checkpoint` still
verifies every hash, for disks rot and copies stop half-way. Never deletes anything but what `prune` names.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from trainer.adapter import FOLDER as ADAPTER
from trainer.adapter import save_adapter
from trainer.errors import CheckpointError
from trainer.model import TernaryLinear, is_ternary, latent_of, make_ternary, materialised_weights

transformers_logging.disable_progress_bar()

SCHEMA = 1
MANIFEST = "manifest.json"
GO_ON = "Remove {directory} to go on from the checkpoint before it."
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint is. `progress` is JSON: data cursor, policy version, whatever the trainer resumes from."""

    kind: str
    step: int
    ternary: bool
    progress: dict[str, Any]
    files: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint. `state` is `training/state.pt` (None when the folder came from elsewhere)."""

    directory: Path
    model: PreTrainedModel
    manifest: Manifest | None
    state: dict[str, Any] | None


def save_checkpoint(
    directory: Path,
    model: PreTrainedModel,
    tokenizer_dir: Path,
    *,
    kind: str,
    step: int,
    progress: Mapping[str, Any] | None = None,
    state: Mapping[str, Any] | None = None,
) -> Path:
    """Write a whole checkpoint, or nothing.

    Args:
        directory: its final name; an existing checkpoint of that name is kept and returned, for the same step of the
            same run holds the same weights.
        tokenizer_dir: the run's tokenizer folder; its files are copied in.
        progress: JSON-able cursors, kept in the manifest.
        state: what `torch.save` takes (optimizer, RNG); loaded again with `weights_only=True`.

    Raises:
        CheckpointError: the disk is full or the folder can't be written.
    """
    if (directory / MANIFEST).exists():
        return directory
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "training").mkdir(parents=True)
        save_file(materialised_weights(model), partial / "model.safetensors", metadata={"format": "pt"})
        model.config.save_pretrained(partial)
        GenerationConfig(
            eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id
        ).save_pretrained(partial)
        for name in TOKENIZER_FILES:
            if (tokenizer_dir / name).exists():
                shutil.copy2(tokenizer_dir / name, partial / name)
        if is_ternary(model):
            save_file(_latent(model), partial / "training" / "latent.safetensors", metadata={"format": "pt"})
        save_adapter(model, partial / ADAPTER)
        if state is not None:
            torch.save(dict(state), partial / "training" / "state.pt")
        files = {str(p.relative_to(partial)): _fingerprint(p) for p in sorted(partial.rglob("*")) if p.is_file()}
        manifest = {
            "schema": SCHEMA,
            "kind": kind,
            "step": step,
            "ternary": is_ternary(model),
            "progress": dict(progress or {}),
            "files": files,
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1))
        for path in [*partial.rglob("*"), partial]:
            _fsync(path)
        partial.rename(directory)
        _fsync(directory.parent)
    except (OSError, SafetensorError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(
            f"the checkpoint {directory} could not be written: {error}. "
            "Free some disk space (or point --run-dir elsewhere) and run the same command again."
        ) from error
    return directory


def load_checkpoint(directory: Path, *, device: str = "cpu", verify: bool = True) -> Checkpoint:
    """Open a checkpoint of ours, or any causal LM in Hugging Face's form (then without manifest and state).

    The model computes in fp32 and, if it is ternary, holds its latent weights.

    Raises:
        CheckpointError: the folder is missing, incomplete, corrupt, or not a causal LM.
    """
    if not (directory / "config.json").exists():
        raise CheckpointError(f"{directory} is no checkpoint: it has no config.json. Give a folder such as step_400.")
    manifest = read_manifest(directory)
    if manifest is not None and verify:
        _verify(directory, manifest)
    try:
        config = AutoConfig.from_pretrained(directory)
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        if bool((getattr(config, "ferrotype", None) or {}).get("ternary")):
            make_ternary(model)
            latent = directory / "training" / "latent.safetensors"
            if latent.exists():
                model.load_state_dict(load_file(latent), strict=False)
            else:  # somebody kept the Hugging Face files alone
                for layer in model.modules():
                    if isinstance(layer, TernaryLinear):
                        layer.weight.data = latent_of(layer.weight.data)
        path = directory / "training" / "state.pt"
        state = torch.load(path, map_location=device, weights_only=True) if path.exists() else None
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"the checkpoint {directory} can't be opened: {str(error).splitlines()[0]}. "
            + GO_ON.format(directory=directory)
        ) from error
    return Checkpoint(directory, model.to(device), manifest, state)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a checkpoint, or None if the folder has none (an imported model).

    Raises:
        CheckpointError: the manifest is no JSON of this schema.
    """
    path = directory / MANIFEST
    if not path.exists():
        return None
    try:
        fields = json.loads(path.read_text())
        if fields.pop("schema") != SCHEMA:
            raise KeyError("schema")
        return Manifest(**fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is corrupt ({error}). Remove {directory} to go on from the one before it."
        ) from error


def fingerprint(directory: Path) -> str:
    """Tells models apart, without reading all of them: 16 hexadecimal digits of the weights at `directory`.

    Raises:
        CheckpointError: its manifest is corrupt.
    """
    manifest = read_manifest(directory)
    if manifest is not None:
        files = sorted(manifest.files.items())
        parts = [f"{name} {of['sha256']}".encode() for name, of in files if name.endswith(".safetensors")]
    else:
        parts = []
        for path in sorted(directory.glob("*.safetensors")):
            with path.open("rb") as file:
                parts += [f"{path.name} {path.stat().st_size}".encode(), file.read(1 << 20)]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def newest_checkpoint(parent: Path, prefix: str) -> Path | None:
    """The finished checkpoint `<prefix><number>` with the highest number, or None."""
    numbered = {
        int(path.name.removeprefix(prefix)): path
        for path in (parent.glob(f"{prefix}*") if parent.is_dir() else ())
        if path.name.removeprefix(prefix).isdigit() and (path / MANIFEST).exists()
    }
    return numbered[max(numbered)] if numbered else None


def prune(parent: Path, prefix: str, *, keep_every: int) -> None:
    """Remove leftovers, and finished checkpoints but the newest and those whose number `keep_every` divides."""
    newest = newest_checkpoint(parent, prefix)
    for path in parent.glob(f"{prefix}*"):
        number = path.name.removeprefix(prefix)
        if number.isdigit() and int(number) % keep_every and path != newest:
            shutil.rmtree(path)
    for leftover in parent.glob(f".{prefix}*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)


def _latent(model: nn.Module) -> dict[str, torch.Tensor]:
    tied = bool(getattr(getattr(model, "config", None), "tie_word_embeddings", False))
    return {
        k: v.detach().cpu().contiguous() for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")
    }


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _verify(directory: Path, manifest: Manifest) -> None:
    for name, expected in manifest.files.items():
        path = directory / name
        if not path.exists() or _fingerprint(path) != expected:
            state = "does not match its manifest" if path.exists() else "is missing"
            raise CheckpointError(
                f"the checkpoint {directory} is corrupt: {name} {state}. {GO_ON.format(directory=directory)}"
            )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
