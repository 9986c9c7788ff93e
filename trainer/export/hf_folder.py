"""Writes a checkpoint as a plain Hugging Face folder, for transformers and vLLM.

    step_520/ ─► what any tool reads ─► model/            training's own files (latent weights, optimizer) stay behind
    adapter/ + the model it was trained over ─► merged ─► model/

A checkpoint of ours that was trained by an adapter holds the merged weights already; a PEFT adapter's folder from
elsewhere is merged here. The folder appears whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import AutoModelForCausalLM

from trainer.adapter import FOLDER
from trainer.checkpoint import TOKENIZER_FILES
from trainer.corpus.atomic import atomic_folder
from trainer.corpus.errors import WriteFailed
from trainer.export.errors import ExportError
from trainer.export.shape import read_config
from trainer.export.source import open_source

ADAPTER_CONFIG = "adapter_config.json"
CONFIGURATION = ("config.json", "generation_config.json", *TOKENIZER_FILES, "vocab.json", "merges.txt")


def export_folder(checkpoint_dir: Path, out_dir: Path, card: str) -> int:
    """Write the folder, with `card` as its README.md, and return its size in bytes.

    Raises:
        CheckpointError: the checkpoint is incomplete or corrupt.
        ExportError: the folder is there already, or can't be written.
    """
    read_config(checkpoint_dir)
    with open_source(checkpoint_dir) as source:
        weights = source.files
    _copy([*weights, *(checkpoint_dir / name for name in CONFIGURATION)], out_dir, card)
    return sum(path.stat().st_size for path in out_dir.iterdir())


def export_adapter(checkpoint_dir: Path, out_dir: Path, card: str) -> int:
    """Write a checkpoint's adapter alone, in PEFT's form, and return its size in bytes.

    Raises:
        ExportError: the checkpoint has none, or the folder can't be written.
    """
    folder = checkpoint_dir / FOLDER
    if not (folder / ADAPTER_CONFIG).is_file():
        raise ExportError(
            f"{checkpoint_dir} has no adapter: all of its weights were trained (grpo.lora_rank = 0). Export it with "
            "--type hf."
        )
    _copy([path for path in folder.iterdir() if path.name != "README.md"], out_dir, card)
    return sum(path.stat().st_size for path in out_dir.iterdir())


@contextmanager
def merged(folder: Path) -> Iterator[Path]:
    """A checkpoint to export: `folder`, or, if it is a bare PEFT adapter, a temporary folder with it merged in.

    Raises:
        ExportError: the model that the adapter was trained over can't be found, or does not fit it.
    """
    path = folder / ADAPTER_CONFIG
    if not path.is_file() or (folder / "config.json").exists():
        yield folder
        return
    from peft import PeftModel

    with TemporaryDirectory(prefix="ferrotype-merged-") as place:
        try:
            base = Path(str(json.loads(path.read_text())["base_model_name_or_path"]))
            if not (base / "config.json").is_file():
                raise FileNotFoundError(f"its base {base} is not here")
            model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
            out = Path(place) / folder.absolute().name
            PeftModel.from_pretrained(model, folder).merge_and_unload().save_pretrained(out)
            for name in TOKENIZER_FILES:
                for source in (folder, base):
                    if (source / name).exists() and not (out / name).exists():
                        shutil.copy2(source / name, out / name)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ExportError(
                f"the adapter in {folder} can't be merged: {(str(error).splitlines() or ['?'])[0]}. Set "
                f"base_model_name_or_path in {path} to the folder of the model that it was trained over."
            ) from error
        yield out


def _copy(files: list[Path], out_dir: Path, card: str) -> None:
    if out_dir.exists():
        raise ExportError(f"{out_dir} is there already. Give a new folder, or remove that one.")
    try:
        with atomic_folder(out_dir) as part:
            for path in files:
                if path.exists():
                    shutil.copyfile(path, part / path.name)
            (part / "README.md").write_text(card)
    except WriteFailed as error:
        raise ExportError(str(error)) from error
