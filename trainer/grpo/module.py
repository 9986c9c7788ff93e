"""The policy as an RLlib RLModule: a causal language model whose forward pass is "how likely were these tokens?"."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from trainer.adapter import Adapter, add_adapter, restore_adapter, without_adapter
from trainer.checkpoint import Checkpoint
from trainer.grpo.forward import PackedTensors, abilities_of, packed_scores
from trainer.grpo.logprobs import TokenScores

LOGPROBS, REFERENCE_LOGPROBS, ENTROPIES = "logprobs", "reference_logprobs", "entropies"
ROWS = "rows"


class CausalLMModule(TorchRLModule):
    """Holds `policy`, and a frozen `reference` when the loss has a KL term and the policy has no adapter to take off.

    `model_config`: `policy_dir` (the checkpoint to go on from), `start_dir` (the one that RL began with), `reference`
    (whether there is a KL term), `adapter` (a `trainer.adapter.Adapter` or None), `policy_loader`, `temperature`,
    `gradient_checkpointing` and `bf16`.
    """

    def setup(self) -> None:
        load: Callable[[Path], Checkpoint] = self.model_config["policy_loader"]
        start_dir, policy_dir = (Path(self.model_config[name]) for name in ("start_dir", "policy_dir"))
        self.start = load(policy_dir)
        self.policy: nn.Module = self._adapted(load, start_dir, self.model_config["adapter"]).train()
        self.abilities = abilities_of(self.policy)
        if self.model_config["gradient_checkpointing"]:
            self.policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self._reference: tuple[nn.Module, ...] = ()
        if self.model_config["reference"] and not self.model_config["adapter"]:
            # In a tuple, so that torch registers no parameters of it: it is neither trained nor saved.
            self._reference = (load(start_dir).model.eval().requires_grad_(False),)

    def _adapted(self, load: Callable[[Path], Checkpoint], start_dir: Path, adapter: Adapter | None) -> nn.Module:
        """The checkpoint's model, or the one that RL began with under the checkpoint's adapter."""
        if adapter is None:
            return self.start.model
        if self.start.directory.resolve() == start_dir.resolve():
            add_adapter(self.start.model, adapter)
            # An optimizer's state, if there is one, is of other parameters.
            self.start = replace(self.start, state=None)
            return self.start.model
        model = load(start_dir).model
        add_adapter(model, adapter)
        restore_adapter(model, self.start.directory, self.start.model.state_dict())
        # The merged copy was only for comparing.
        self.start = replace(self.start, model=model)
        return model

    def _forward(self, batch: dict[str, PackedTensors], **kwargs: Any) -> dict[str, Tensor]:  # noqa: ARG002
        """Packed rows to the log-probabilities of their N targets, and the entropies at their places."""
        rows = batch[ROWS]
        scores = self._scores(self.policy, rows, entropy=True)
        out = {LOGPROBS: scores.logprobs_N, ENTROPIES: scores.entropies_N}
        if self.model_config["reference"]:
            with torch.no_grad(), self._frozen(rows.tokens_R_W.device) as reference:
                out[REFERENCE_LOGPROBS] = self._scores(reference, rows).logprobs_N
        return out

    def _frozen(self, device: torch.device) -> contextlib.AbstractContextManager[nn.Module]:
        """The policy that RL began with."""
        for reference in self._reference:
            return contextlib.nullcontext(reference.to(device))
        return without_adapter(self.policy)

    def _scores(self, model: nn.Module, rows: PackedTensors, *, entropy: bool = False) -> TokenScores:
        # bf16 is for GPUs, and has not yet run on one.
        with torch.autocast(rows.tokens_R_W.device.type, torch.bfloat16, enabled=self.model_config["bf16"]):
            return packed_scores(model, rows, self.model_config["temperature"], self.abilities, entropy=entropy)
