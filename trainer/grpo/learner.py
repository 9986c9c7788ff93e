"""The GRPO learner on RLlib's Learner: one optimizer step from one batch, in micro-batches that fit its memory.

    rows ─► packed micro-batches ─► forward ─► policy_loss ─► backward, summed ─► average over learners ─► clip ─► step
               └─ out of memory: halve the token budget, start the step over, remember

RLlib would make every micro-batch an optimizer step and let DDP average gradients in each backward pass. Here learners
may need different numbers of micro-batches, and one may start over alone, so gradients are averaged once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from torch import Tensor

from rollout.types import Canary
from trainer.checkpoint import save_checkpoint
from trainer.grpo.batch import (
    ADVANTAGE,
    COUNT,
    LENGTH,
    PROMPT,
    SAMPLER_LOGPROBS,
    TARGETS_START,
    TOKEN_WEIGHT,
    TOKENS,
)
from trainer.grpo.errors import LearnerOutOfMemory
from trainer.grpo.forward import PackedTensors, canary_of, to_tensors
from trainer.grpo.loss import LossInputs, TokenStats, policy_loss, token_metrics
from trainer.grpo.module import ENTROPIES, LOGPROBS, REFERENCE_LOGPROBS, ROWS, CausalLMModule
from trainer.grpo.packing import Packable, fill, plan, row_length
from trainer.grpo.settings import GrpoSettings
from trainer.memory import free_cached_memory, is_out_of_memory
from trainer.model import materialised_weights

Batch = dict[str, Any]

BETAS = (0.9, 0.95)
"""AdamW's, as in supervised training. Its optimizer state is not taken over: those moments are of another loss."""

ITERATION = "iteration"
"""Key of `timesteps`: the iteration, from 0, that an update belongs to."""


def learning_rate(settings: GrpoSettings, iteration: int) -> float:
    """Linear warm-up over `warmup_iterations`, then linear down to `learning_rate_end` of it at the last iteration."""
    warm = min(1.0, (iteration + 1) / (settings.warmup_iterations + 1))
    progress = min(1.0, iteration / max(1, settings.iterations - 1))
    return settings.learning_rate * warm * (1 - progress * (1 - settings.learning_rate_end))


class GRPOLearner(TorchLearner):
    """See the module. `config.grpo` are the `GrpoSettings`."""

    def build(self) -> None:
        torch.set_num_threads(self.config.grpo.learner_threads)
        super().build()
        self._token_budget: int = self.config.grpo.token_budget
        self._stats: list[TokenStats] = []
        state = self._policy_module.start.state or {}
        if "grpo_optimizer" in state:
            self._optimizer.load_state_dict(state["grpo_optimizer"])
        asked, fitting = state.get("grpo_token_budget", (None, None))
        if asked == self._token_budget:
            self._token_budget = fitting

    @property
    def _policy_module(self) -> CausalLMModule:
        return self.module[DEFAULT_MODULE_ID].unwrapped()

    @property
    def _optimizer(self) -> torch.optim.Optimizer:
        return self.get_optimizer(DEFAULT_MODULE_ID)

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        params = [p for p in self.get_parameters(self.module[module_id]) if p.requires_grad]
        optimizer = torch.optim.AdamW(
            params, lr=config.grpo.learning_rate, betas=BETAS, weight_decay=config.grpo.weight_decay, fused=True
        )
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=params)

    def before_gradient_based_update(self, *, timesteps: Mapping[str, Any]) -> None:
        """Set the learning rate from the iteration alone, so that a resumed run continues the same schedule."""
        rate = learning_rate(self.config.grpo, timesteps[ITERATION])
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _make_modules_ddp_if_necessary(self) -> None:
        """No DDP: `_average_gradients` does its work."""

    def compute_loss_for_module(
        self,
        *,
        module_id: str,  # noqa: ARG002
        config: Any,
        batch: Batch,
        fwd_out: Mapping[str, Tensor],
    ) -> Tensor:
        """The loss of one micro-batch; a step's micro-batches sum to the loss of the step."""
        rows: PackedTensors = batch[ROWS]
        inputs = LossInputs(
            logprobs_N=fwd_out[LOGPROBS],
            sampler_logprobs_N=batch[SAMPLER_LOGPROBS],
            sequences_N=rows.sequences_N,
            advantages_S=batch[ADVANTAGE],
            counts_S=batch[COUNT],
            token_weights_S=batch[TOKEN_WEIGHT],
            reference_logprobs_N=fwd_out.get(REFERENCE_LOGPROBS),
            entropies_N=fwd_out[ENTROPIES],
        )
        loss, stats = policy_loss(inputs, config.grpo)
        self._stats.append(stats)
        return loss

    def _uncompiled_update(
        self,
        batch: dict[str, Batch],
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Any, dict[str, Tensor], dict[str, Any]]:
        """One optimizer step. Logs the step's metrics under the module's id."""
        rows = batch[DEFAULT_MODULE_ID]
        loss, count = self._accumulate(rows)
        self._average_gradients()
        gradients = {pid: p.grad for pid, p in self._params.items() if p.grad is not None}
        norm = torch.nn.utils.get_total_norm(gradients.values()).item()
        if math.isfinite(norm):
            self.apply_gradients(self.postprocess_gradients(gradients))
        self._optimizer.zero_grad(set_to_none=True)
        metrics = token_metrics(self._stats) if any(len(s.log_ratios_N) for s in self._stats) else {}
        metrics |= {
            "loss": loss.item(),
            "learning_rate": self._optimizer.param_groups[0]["lr"],
            "grad_norm": norm,
            "skipped_updates": float(not math.isfinite(norm)),
            "micro_batches": float(count),
            "token_budget": float(self._token_budget),
        }
        for name, value in metrics.items():
            how = {"logprob_gap_max": "max", "trained_tokens": "sum"}.get(name, "mean")
            self.metrics.log_value((DEFAULT_MODULE_ID, name), value, reduce=how, window=None if how == "sum" else 1)
        return {}, {DEFAULT_MODULE_ID: loss}, {}

    def _accumulate(self, rows: Batch) -> tuple[Tensor, int]:
        """Sum the gradients of all rows into `.grad`; returns the loss and the number of micro-batches.

        Raises:
            LearnerOutOfMemory: a micro-batch of one completion doesn't fit.
        """
        module = self._policy_module
        sequences = packables(rows)
        # Where no prompt is shared, packing would only cost masked attention.
        siblings = len({sequence.prompt for sequence in sequences}) < len(sequences)
        shared = self.config.grpo.shared_prompts and module.abilities.shares_prompts and siblings
        longest = max((sequence.length for sequence in sequences), default=0)
        while True:
            batches = plan(sequences, self._token_budget, share=shared)
            self._optimizer.zero_grad(set_to_none=True)
            self._stats = []
            try:
                tokens_B_T = rows[TOKENS].cpu().numpy()
                losses = [
                    self._backward(
                        self._micro_batch(rows, to_tensors(fill(batch, tokens_B_T), self._device, shared=shared))
                    )
                    for batch in batches
                ]
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if self._token_budget <= longest:
                    raise LearnerOutOfMemory(
                        f"one completion of {longest} tokens does not fit the learner's memory. Lower "
                        "grpo.max_completion_tokens, set grpo.gradient_checkpointing, or train a smaller model, or on "
                        "a larger device."
                    ) from error
            else:
                return torch.stack(losses).sum() if losses else torch.zeros(()), len(batches)
            # Outside of `except`: the traceback holds the tensors that must be freed first.
            held = max(len(batch) * row_length(batch[0]) for batch in batches)
            self._token_budget = max(longest, min(self._token_budget, held) // 2)
            free_cached_memory()

    def _micro_batch(self, rows: Batch, packed: PackedTensors) -> Batch:
        """What the forward pass and the loss take: the packed rows, and their completions' columns."""
        places_S = packed.indices_S
        columns = {name: rows[name][places_S] for name in (ADVANTAGE, TOKEN_WEIGHT, COUNT)}
        sampler_S_T = rows[SAMPLER_LOGPROBS][places_S]
        position_T = torch.arange(sampler_S_T.shape[1], device=places_S.device)
        starts_S_1, lengths_S_1 = rows[TARGETS_START][places_S, None], rows[LENGTH][places_S, None]
        completion_S_T = (position_T >= starts_S_1) & (position_T < lengths_S_1)
        return {ROWS: packed, SAMPLER_LOGPROBS: sampler_S_T[completion_S_T], **columns}

    def _backward(self, micro_batch: Batch) -> Tensor:
        outputs = self._policy_module.forward_train(micro_batch)
        losses = self.compute_losses(fwd_out={DEFAULT_MODULE_ID: outputs}, batch={DEFAULT_MODULE_ID: micro_batch})
        loss: Tensor = losses[DEFAULT_MODULE_ID]
        loss.backward()
        return loss.detach()

    def _average_gradients(self) -> None:
        if self.config.num_learners < 2:
            return
        for parameter in self._params.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= self.config.num_learners

    def policy_weights(self) -> dict[str, Tensor]:
        """What rollout engines are pushed: materialised, fp32, on the CPU, under Hugging Face's names."""
        return materialised_weights(self._policy_module.policy)

    def canary(self) -> Canary:
        """What an engine that holds `policy_weights` must make of the canary prompt."""
        module = self._policy_module
        return canary_of(module.policy, module.abilities)

    def save_policy(self, directory: Path, tokenizer_dir: Path, *, step: int, progress: Mapping[str, Any]) -> Path:
        """Write a whole checkpoint: the policy, its latent weights and the optimizer."""
        return save_checkpoint(
            directory,
            self._policy_module.policy,
            tokenizer_dir,
            kind="grpo",
            step=step,
            progress=progress,
            state={
                "grpo_optimizer": self._optimizer.state_dict(),
                "grpo_token_budget": (self.config.grpo.token_budget, self._token_budget),
            },
        )


def packables(rows: Batch) -> list[Packable]:
    """The rows that count, as what the packing needs to know of them."""
    names = (PROMPT, TARGETS_START, LENGTH, COUNT)
    numbers = zip(*(rows[name].tolist() for name in names), strict=True)
    return [Packable(index, *fields) for index, (*fields, count) in enumerate(numbers) if count]
