"""Low-rank adapters on a policy, by PEFT: put on, taken off for a while, merged for whoever wants a plain model, kept.

LoRA (Hu et al. 2021, arXiv 2106.09685): each adapted matrix W computes W + (alpha / rank) B A, and only A and B, of
`rank` rows and columns, are trained. No dropout: sampler and learner would be two policies.

`trainer.model.materialised_weights` merges from the base every time, and leaves it alone: merging in place and taking
out again, as PEFT does, would round the base a little at each push. PEFT is imported when an adapter is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.errors import AdapterError
from trainer.model import ADAPTER_PARTS, is_ternary, materialised_weights

FOLDER = "adapter"
"""Of a checkpoint: PEFT opens it, over the model that training began with."""

WEIGHTS = "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."

SAME_BASE = 1e-4
"""Weights of one base, merged on two machines, differ by less; those of two bases by more."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is put on a model. `targets`: names of linear layers, or `all-linear` for all but the head."""

    rank: int
    alpha: float
    targets: str | tuple[str, ...] = "all-linear"
    seed: int = 0


def add_adapter(model: PreTrainedModel, adapter: Adapter) -> None:
    """Freeze the model and put an adapter on it that changes nothing yet (B is 0), the same for the same seed.

    Raises:
        AdapterError: the model is ternary, or has no such layers.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if is_ternary(model):
        raise AdapterError(
            "grpo.lora_rank needs a model of ordinary weights: a ternary one with an adapter merged in is no longer "
            "ternary. Set grpo.lora_rank = 0, or start from another model."
        )
    targets = adapter.targets if isinstance(adapter.targets, str) else list(adapter.targets)
    config = LoraConfig(
        r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng():
        torch.manual_seed(adapter.seed)
        try:
            inject_adapter_in_model(config, model)
        except ValueError as error:
            raise AdapterError(
                f"grpo.lora_targets = {targets!r} doesn't fit this model: {str(error).splitlines()[0]} "
                "Name its linear layers, such as q_proj, or say 'all-linear'."
            ) from error
    model.requires_grad_(False)
    for part in adapter_parts(model).values():
        part.requires_grad_(True)


def adapter_parts(model: nn.Module) -> dict[str, nn.Parameter]:
    """The adapter's parameters by name; empty where there is none."""
    return {name: part for name, part in model.named_parameters() if ADAPTER_PARTS in name}


@contextlib.contextmanager
def without_adapter(model: nn.Module) -> Iterator[nn.Module]:
    """The model that the adapter was put on, for as long as this lasts: no second copy of it is needed."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield model
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def save_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Write the adapter in PEFT's form, if the model has one."""
    parts = adapter_parts(model)
    if not parts:
        return
    (config,) = model.peft_config.values()
    config.save_pretrained(folder)
    save_file(
        {_file_name(name): part.detach().cpu().contiguous() for name, part in parts.items()},
        folder / WEIGHTS,
        metadata={"format": "pt"},
    )


def restore_adapter(model: PreTrainedModel, checkpoint: Path, merged: dict[str, Tensor]) -> None:
    """Give the model's fresh adapter the values of a checkpoint, whose merged weights are `merged`.

    Raises:
        AdapterError: the checkpoint has no such adapter, or its adapter was trained over another base.
    """
    parts = adapter_parts(model)
    try:
        saved = load_file(checkpoint / FOLDER / WEIGHTS)
        with torch.no_grad():
            for name, part in parts.items():
                part.copy_(saved.pop(_file_name(name)))
        if saved:
            raise KeyError(next(iter(saved)))
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise AdapterError(
            f"{checkpoint} has no adapter of this run's shape ({str(error).splitlines()[0]}): it belongs to a run that "
            "trained all weights or other layers. Set grpo.lora_rank and grpo.lora_targets back, or start a new run."
        ) from error
    for name, weight in materialised_weights(model).items():
        if not torch.allclose(weight, merged[name].cpu(), atol=SAME_BASE, rtol=0):
            raise AdapterError(
                f"the adapter in {checkpoint} was trained over another model than the one that this run starts from "
                f"({name} differs). Put that model back where it was, or start a new run."
            )


def _file_name(parameter: str) -> str:
    return PEFT_PREFIX + parameter.replace(".default.", ".")
