"""Pre-training from nothing: the base model, which has read crates."""

from __future__ import annotations

import torch

from services.config import RunConfig
from services.events import Reporter
from services.phases.supervised import train
from services.run_folder import RunFolder
from trainer.corpus.tokenizer import load_tokenizer
from trainer.model import build_model


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:
    """Steps 0 to `pretrain.base_steps`; or the model that was given, as it is."""
    if config.start_from is not None:
        return {"checkpoint": run.inside(config.start_from)}
    torch.manual_seed(config.seed)
    model = build_model(config.model, load_tokenizer(run.tokenizer).get_vocab_size())
    parameters = sum(weight.numel() for weight in model.parameters())
    reporter.note(f"a {'ternary ' if config.model.ternary else ''}Llama of {parameters / 1e6:.1f}M parameters")
    summary = train(
        run, config, reporter, start=model, first=0, last=config.pretrain.base_steps, directory=run.base, kind="base"
    )
    return {**summary, "parameters": parameters}
