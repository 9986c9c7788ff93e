"""The policy as an RLlib RLModule: a causal language model whose forward pass is "how likely were these tokens?"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from trainer.checkpoint import Checkpoint
from trainer.grpo.batch import TARGETS_START, TOKENS
from trainer.grpo.logprobs import selected_logprobs

LOGPROBS, REFERENCE_LOGPROBS = "logprobs", "reference_logprobs"


class CausalLMModule(TorchRLModule):
    """Holds `policy`, and a frozen `reference` when the loss has a KL term.

    `model_config`: `policy_dir` (the checkpoint to start from), `reference_dir` (or None), `policy_loader` and
    `temperature`.
    """

    def setup(self) -> None:
        load = self.model_config["policy_loader"]
        self.start: Checkpoint = load(Path(self.model_config["policy_dir"]))
        self.policy: nn.Module = self.start.model.train()
        self._reference: tuple[nn.Module, ...] = ()
        if self.model_config["reference_dir"] is not None:
            # In a tuple, so that torch registers no parameters of it: it is neither trained nor saved.
            reference = load(Path(self.model_config["reference_dir"])).model
            self._reference = (reference.eval().requires_grad_(False),)

    def _forward(self, batch: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:  # noqa: ARG002
        """(B, T) token ids to the (B, C) log-probabilities of the last C: from the earliest completion token on.

        There is no attention mask: rows are padded on the right, where causal attention never looks.
        """
        ids_B_T = batch[TOKENS].long()
        count = ids_B_T.shape[1] - int(batch[TARGETS_START].min())
        out = {LOGPROBS: self._logprobs(self.policy, ids_B_T, count)}
        for reference in self._reference:
            with torch.no_grad():
                out[REFERENCE_LOGPROBS] = self._logprobs(reference.to(ids_B_T.device), ids_B_T, count)
        return out

    def _logprobs(self, model: nn.Module, ids_B_T: Tensor, count: int) -> Tensor:
        logits = model(input_ids=ids_B_T, use_cache=False, logits_to_keep=count + 1).logits
        return selected_logprobs(logits[:, -count - 1 : -1], ids_B_T[:, -count:], self.model_config["temperature"])
