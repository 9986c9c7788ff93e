"""Supervised training: next-token prediction over windows of tokens, resumable to the bit.

A batch is a pure function of the step, the learning rate too, and there is no dropout: a run that is killed and started
again from `step_N` walks the same path. A step that runs out of memory is done over in halves, and so are those after
it. Writes checkpoints; never evaluates and never touches Ray.
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
from trainer.corpus.windows import PADDING
from trainer.errors import DivergedError, OutOfMemory
from trainer.memory import free_cached_memory, is_out_of_memory
from trainer.settings import PretrainSettings

BETAS = (0.9, 0.95)
"""AdamW's: the second moment forgets in 20 steps, since ternary weights flip and old gradients mislead."""

MICRO_BATCH = "micro_batch"
"""Key of the checkpoint's state: the batch size that was asked for, and how much of it fitted at once."""

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
    """Mean cross-entropy (nats) of each token given those before it; PADDING, which nothing follows, is not counted."""
    # No token sees those behind it: what stands in for padding does not matter.
    logits = model(input_ids=windows_B_T[:, :-1].clamp(min=0), use_cache=False).logits.float()
    return nn.functional.cross_entropy(logits.flatten(0, 1), windows_B_T[:, 1:].flatten(), ignore_index=PADDING)


def accumulate(model: nn.Module, windows_B_T: Tensor, size: int) -> tuple[Tensor, int]:
    """Sum the gradient of the step's mean loss into `.grad`, `size` windows at a time.

    Returns the loss, and the number of windows at a time that fitted: half of `size`, a quarter, ... if memory ran out.

    Raises:
        OutOfMemory: one window doesn't fit.
    """
    counts_B = (windows_B_T[:, 1:] != PADDING).sum(1)
    while True:
        model.zero_grad(set_to_none=True)
        try:
            losses = []
            for windows, counts in zip(windows_B_T.split(size), counts_B.split(size), strict=True):
                # Exactly 1 for the whole batch: a step in one piece stays what it was, to the bit.
                share = counts.sum() / counts_B.sum()
                if share > 0:
                    loss = next_token_loss(model, windows) * share
                    loss.backward()
                    losses.append(loss.detach())
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise OutOfMemory(
                    f"one window of {windows_B_T.shape[1] - 1} tokens does not fit the memory. Lower pretrain.context, "
                    "or train a smaller model, or on a larger device."
                ) from error
        else:
            return torch.stack(losses).sum() if losses else torch.tensor(math.nan), size
        # Outside of `except`: the traceback holds the tensors that must be freed first.
        size //= 2
        free_cached_memory()


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
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train steps `first_step..last_step` and return the last checkpoint, `directory/step_<last_step>`.

    `stop` is asked after each step; once true, that step's checkpoint is the last.

    Goes on from the newest checkpoint in `directory`; with none there, from `start`, whose optimizer state is taken
    over if it has one.

    Raises:
        CheckpointError: a checkpoint can't be read or written.
        OutOfMemory: not even one window fits.
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
    batch_size, fitting = (checkpoint.state or {}).get(MICRO_BATCH, (None, None))
    if batch_size != settings.batch_size:
        fitting = settings.batch_size
    directory.mkdir(parents=True, exist_ok=True)
    saved_at = time.monotonic()
    while step < last_step:
        started = time.perf_counter()
        windows_B_T = torch.from_numpy(batches.batch(step)).to(settings.device)
        rate = learning_rate(settings, step)
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
        loss, fitting = accumulate(model, windows_B_T, fitting)
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
        stopped = stop()
        due = stopped or time.monotonic() - saved_at > settings.resume_seconds
        if due or step == last_step or step % settings.checkpoint_interval == 0:
            save_checkpoint(
                directory / f"step_{step}",
                model,
                tokenizer_dir,
                kind=kind,
                step=step,
                progress={"tokens": tokens},
                state={name: optimizer.state_dict() for name, optimizer in optimizers.items()}
                | {MICRO_BATCH: (settings.batch_size, fitting)},
            )
            prune(directory, "step_", keep_every=settings.checkpoint_interval)
            saved_at = time.monotonic()
        if stopped:
            break
    return directory / f"step_{step}"


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
