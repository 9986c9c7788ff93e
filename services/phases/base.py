"""Pre-training from nothing: the base model, which has read crates."""

from __future__ import annotations

from pathlib import Path

import torch

from services.config import RunConfig
from services.events import Reporter
from services.phases.supervised import train
from services.run_folder import RunFolder
from trainer.corpus.tokenizer import load_tokenizer
from trainer.gguf_import import GGUF_SUFFIX, import_gguf
from trainer.model import build_model


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:
    """Steps 0 to `pretrain.base_steps`; or the model that was given, as it is."""
    if config.start_from is not None:
        return {"checkpoint": run.inside(_given(run, config.start_from, reporter))}
    torch.manual_seed(config.seed)
    model = build_model(config.model, load_tokenizer(run.tokenizer).get_vocab_size())
    parameters = sum(weight.numel() for weight in model.parameters())
    reporter.note(f"a {'ternary ' if config.model.ternary else ''}Llama of {parameters / 1e6:.1f}M parameters")
    summary = train(
        run, config, reporter, start=model, first=0, last=config.pretrain.base_steps, directory=run.base, kind="base"
    )
    return {**summary, "parameters": parameters}


def _given(run: RunFolder, start: Path, reporter: Reporter) -> Path:
    """The checkpoint to start from; of a GGUF file, its weights in full."""
    if start.suffix != GGUF_SUFFIX:
        return start
    if not (run.imported / "config.json").is_file():
        import_gguf(start, run.imported)
    reporter.note(f"{start} dequantised into {run.imported}")
    return run.imported
