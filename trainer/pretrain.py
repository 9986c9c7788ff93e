"""Supervised training: next-token prediction over windows of tokens, resumable to the bit.

A batch is a pure function of the step, the learning rate too, and there is no dropout: a run that is killed and started
again from `step_N` walks the same path. Writes checkpoints; never evaluates and never touches Ray.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint, prune, save_checkpoint
from trainer.errors import DivergedError
from trainer.settings import PretrainSettings

BETAS = (0.9, 0.95)
"""AdamW's: the second moment forgets in 20 steps, since ternary weights flip and old gradients mislead."""

Optimizers = Mapping[str, torch.optim.Optimizer]


class BatchSource(Protocol):
    """Where windows come from."""

    def batch(self, step: int) -> NDArray[np.int64]:
        """The windows of one step: (batch, context + 1) token ids, the same for the same step."""
        ...


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one optimizer step did. `loss` is nats a token; `tokens` counts from step 0; `seconds` is wall time."""

    step: int
    last_step: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int
    seconds: float


def learning_rate(settings: PretrainSettings, step: int) -> float:
    """Warmup-stable-decay (Hu et al. 2024, arXiv 2404.06395): linear up, constant, linear down to a tenth."""
    decay_start = settings.target_steps * (1 - settings.decay_share)
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    down = min(1.0, (settings.target_steps - step) / max(1.0, settings.target_steps - decay_start))
    return settings.learning_rate * warm * max(0.1, down)


def next_token_loss(model: nn.Module, windows_B_T: Tensor) -> Tensor:
    """Mean cross-entropy (nats) of each token given those before it; padding (`pad_token_id`) is not counted."""
    logits = model(input_ids=windows_B_T[:, :-1], use_cache=False).logits.float()
    return nn.functional.cross_entropy(
        logits.flatten(0, 1), windows_B_T[:, 1:].flatten(), ignore_index=int(model.config.pad_token_id)
    )


def pretrain(
    settings: PretrainSettings,
    *,
    batches: BatchSource,
    start: PreTrainedModel | Path,
    first_step: int,
    last_step: int,
    directory: Path,
    tokenizer_dir: Path,
    kind: str,
    on_step: Callable[[StepRecord], None],
) -> Path:
    """Train steps `first_step..last_step` and return the last checkpoint, `directory/step_<last_step>`.

    Goes on from the newest checkpoint in `directory`; with none there, from `start`, whose optimizer state is taken
    over if it has one.

    Raises:
        CheckpointError: a checkpoint can't be read or written.
        DivergedError: the loss is no longer finite. The last checkpoint on disk is from before that.
    """
    torch.set_num_threads(settings.threads)
    newest = newest_checkpoint(directory, "step_")
    origin = newest or start
    checkpoint = (
        load_checkpoint(origin, device=settings.device)
        if isinstance(origin, Path)
        else Checkpoint(directory, origin.to(settings.device), None, None)
    )
    model = checkpoint.model.train()
    step = int(newest.name.removeprefix("step_")) if newest else first_step
    optimizers = _optimizers(model, settings)
    for name, optimizer in optimizers.items():
        if checkpoint.state and name in checkpoint.state:
            optimizer.load_state_dict(checkpoint.state[name])
    directory.mkdir(parents=True, exist_ok=True)
    saved_at = time.monotonic()
    while step < last_step:
        started = time.perf_counter()
        windows_B_T = torch.from_numpy(batches.batch(step)).to(settings.device)
        rate = learning_rate(settings, step)
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
        loss = next_token_loss(model, windows_B_T)
        loss.backward()
        grad_norm = float(nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip))
        if not (math.isfinite(loss.item()) and math.isfinite(grad_norm)):
            raise DivergedError(
                f"the loss became {loss.item()} at step {step + 1}. Lower learning_rate (now {settings.learning_rate}) "
                f"and run again: training goes on from the newest checkpoint in {directory}."
            )
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        tokens = step * settings.batch_size * settings.context
        on_step(StepRecord(step, last_step, loss.item(), rate, grad_norm, tokens, time.perf_counter() - started))
        due = time.monotonic() - saved_at > settings.resume_seconds
        if due or step == last_step or step % settings.checkpoint_interval == 0:
            save_checkpoint(
                directory / f"step_{step}",
                model,
                tokenizer_dir,
                kind=kind,
                step=step,
                progress={"tokens": tokens},
                state={name: optimizer.state_dict() for name, optimizer in optimizers.items()},
            )
            prune(directory, "step_", keep_every=settings.checkpoint_interval)
            saved_at = time.monotonic()
    return directory / f"step_{last_step}"


def _optimizers(model: PreTrainedModel, settings: PretrainSettings) -> Optimizers:
    """Muon for the layers' matrices, AdamW for the vocabulary's and for gains, at one learning rate.

    Muon (Jordan et al. 2024; update scale matched to AdamW's, Liu et al. 2025, arXiv 2502.16982) orthogonalises the
    momentum, so every direction of a matrix moves alike: on the small ternary model it reaches AdamW's loss with about
    a quarter fewer tokens. Decay is for matrices only: decaying a norm's gains would shrink the signal itself.
    """
    vocabulary = {id(end.weight) for end in (model.get_input_embeddings(), model.get_output_embeddings())}
    embeddings = [p for p in model.parameters() if id(p) in vocabulary]
    matrices = [p for p in model.parameters() if p.ndim >= 2 and id(p) not in vocabulary]
    gains = [p for p in model.parameters() if p.ndim < 2]
    decay = settings.weight_decay
    return {
        "muon": torch.optim.Muon(
            matrices, lr=settings.learning_rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
        ),
        "adamw": torch.optim.AdamW(
            [{"params": embeddings, "weight_decay": decay}, {"params": gains, "weight_decay": 0.0}],
            lr=settings.learning_rate,
            betas=BETAS,
            fused=True,
        ),
    }
