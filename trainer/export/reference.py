"""The checkpoint in torch: what every exported file is laid beside, and what rounding its weights would cost.

Losses are nats a token over whole documents, each token given those before it, so that types can be compared before a
file is written. Weights that are changed to find that out are put back. Writes nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from trainer.errors import CheckpointError
from trainer.export.errors import ExportError
from trainer.export.packing import EmbeddingType, rounded
from trainer.model import TERNARY_LAYERS, ternary

EMBEDDING_TYPES: tuple[EmbeddingType, ...] = ("Q4_0", "Q8_0", "F16")
"""What the embedding is tried in, smallest first; F16 holds any embedding that trains well to 3 digits."""

TOLERANCE = 0.002
"""Nats a token that a smaller embedding may cost: 0.2 % of perplexity."""

TRIED_TOKENS = 512
"""Of text for such a choice: types differ by factors of a hundred, and a vocabulary's log-probabilities are kept."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a rounding costs, in nats a token."""

    kind: EmbeddingType
    divergence: float
    """Of the rounded model's distribution from the unrounded one's (Kullback-Leibler): what it would lose on text that
    the model writes. Never below 0, and far more sensitive than the loss of a given text, which may fall by chance."""
    held_out: float
    """Change of the loss of given text."""

    @property
    def bearable(self) -> bool:
        """Whether it is next to nothing."""
        return max(self.divergence, self.held_out) <= TOLERANCE

    def __str__(self) -> str:
        return f"{self.kind} costs {self.divergence:.5f} ({self.held_out:+.5f} on held-out text)"


@dataclass(frozen=True, slots=True)
class Damage:
    """What rounding a model's linear layers to ternary does to its held-out loss."""

    before: float
    after: float
    guessing: float
    """The loss of a model that finds every token equally likely."""

    def __str__(self) -> str:
        verdict = ": worse than guessing" if self.after >= self.guessing else ""
        return (
            f"held-out loss goes from {self.before:.2f} to {self.after:.2f} nats a token "
            f"(guessing costs {self.guessing:.2f}){verdict}"
        )


class Reference:
    """A checkpoint's model (fp32, plain) and tokenizer."""

    def __init__(self, checkpoint_dir: Path) -> None:
        """Raises CheckpointError if the folder can't be opened."""
        try:
            self.model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                checkpoint_dir, dtype=torch.float32
            ).eval()
            self.tokenizer = Tokenizer.from_file(str(checkpoint_dir / "tokenizer.json"))
        except Exception as error:  # tokenizers raises nothing narrower
            raise CheckpointError(
                f"the checkpoint {checkpoint_dir} can't be opened: {(str(error).splitlines() or ['?'])[0]}."
            ) from error
        self.positions = int(self.model.config.max_position_embeddings)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids, without special tokens around them."""
        return [list(self.tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]

    def logprobs(self, ids: Sequence[int]) -> Tensor:
        """(T, V) log-probabilities of what follows each prefix of `ids`."""
        with torch.inference_mode():
            logits_T_V = self.model(torch.tensor([list(ids)])).logits[0]
            return torch.log_softmax(logits_T_V.float(), -1)

    def loss(self, documents: Sequence[Sequence[int]]) -> float:
        """Mean over the tokens of all documents, each cut to what the model can read at once.

        Raises:
            ExportError: there is no document of two tokens.
        """
        total = count = 0.0
        for document in documents:
            ids = list(document[: self.positions])
            if len(ids) > 1:
                targets_T = torch.tensor(ids[1:])[:, None]
                total -= float(self.logprobs(ids)[:-1].gather(-1, targets_T).sum())
                count += len(ids) - 1
        if not count:
            raise ExportError("there is no text to measure a loss on; give some real source code.")
        return total / count

    def embedding_costs(self, documents: Sequence[Sequence[int]]) -> list[Cost]:
        """What packing the embedding costs, from the smallest type up to the first that is bearable: take the last."""
        documents = _beginning(documents)
        loss, expected = self.loss(documents), [self.logprobs(ids) for ids in documents]
        costs: list[Cost] = []
        while not costs or not (costs[-1].bearable or costs[-1].kind == EMBEDDING_TYPES[-1]):
            kind = EMBEDDING_TYPES[len(costs)]
            with self._replaced(self._ends(), partial(_rounded, kind=kind)):
                divergences = [
                    nn.functional.kl_div(self.logprobs(ids), before, log_target=True, reduction="sum")
                    for ids, before in zip(documents, expected, strict=True)
                ]
                divergence = float(sum(divergences)) / sum(map(len, documents))
                costs.append(Cost(kind, max(0.0, divergence), self.loss(documents) - loss))
        return costs

    def ternary_damage(self, documents: Sequence[Sequence[int]]) -> Damage:
        """What forcing the linear layers into a ternary type would do."""
        linears = [
            module.weight
            for name, module in self.model.named_modules()
            if name.rpartition(".")[2] in TERNARY_LAYERS and isinstance(module, nn.Linear)
        ]
        documents = _beginning(documents)
        before = self.loss(documents)
        with self._replaced(linears, ternary):
            after = self.loss(documents)
        return Damage(before, after, math.log(self.model.config.vocab_size))

    def _ends(self) -> list[nn.Parameter]:
        """Embedding and head: one parameter where they are tied."""
        ends = (self.model.get_input_embeddings(), self.model.get_output_embeddings())
        return list({id(end.weight): end.weight for end in ends}.values())

    @contextlib.contextmanager
    def _replaced(self, weights: Sequence[nn.Parameter], by: Callable[[Tensor], Tensor]) -> Iterator[None]:
        kept = [weight.data for weight in weights]
        try:
            for weight in weights:
                weight.data = by(weight.data)
            yield
        finally:
            for weight, data in zip(weights, kept, strict=True):
                weight.data = data


def _beginning(documents: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """So many documents as make up `TRIED_TOKENS`, the last one cut."""
    taken: list[Sequence[int]] = []
    left = TRIED_TOKENS
    for document in documents:
        if left > 1:
            taken.append(document[:left])
            left -= len(document)
    return taken


def _rounded(weight: Tensor, kind: EmbeddingType) -> Tensor:
    return torch.from_numpy(rounded(weight.numpy(), kind))
