"""Does llama.cpp compute from the exported file what torch computes from the checkpoint?

Four questions: are free-running greedy tokens equal; does the most likely next token agree at each place of real text
(teacher-forced); how far apart are the log-probabilities there (logits, but for a constant that no sampler sees); does
llama.cpp split text into the same tokens? With F16 linears llama.cpp's arithmetic is torch's up to rounding, so greedy
tokens must be equal. With packed linears it rounds activations to 8 bits; single near-ties may fall the other way, so
agreement is counted. Never changes either model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from gguf import GGMLQuantizationType, GGUFReader

from trainer.export.errors import ExportError
from trainer.export.llama_cpp import LlamaCpp
from trainer.export.reference import Reference

REQUIRED_AGREEMENT = {"TQ2_0": 0.98, "TQ1_0": 0.98, "Q8_0": 0.95, "BF16": 0.95}
"""Models trained ternary agree at 99.7 % of places or more, a pretrained 135M model in Q8_0 at 97 %; a wrong row order
agrees at 71 %."""

LOSSY_COST = 0.5
"""Nats a token that 4-bit linears may cost a model that was not trained for them: 0.19 was measured on a pretrained
135M model, a wrong row order costs 0.9. Its likeliest tokens agree at only 74 % of places, which tells nothing."""

NEAR_TIE = 0.02
"""Logits closer than this may change places in fp16: F16 files were seen to move a logit by up to 0.006."""

POSITIONS = 16
"""Positions compared at the end of each prompt, and greedy tokens sampled after it: 20 prompts give 320 of each."""

LIKELIEST = 8
"""Tokens whose log-probabilities are compared at each place: those that a sampler might take."""


@dataclass(frozen=True, slots=True)
class ParityReport:
    """How far the exported file computes what the checkpoint does."""

    linear_type: str
    positions: int
    """Teacher-forced positions compared."""
    argmax_agreement: float
    """Share of them at which torch and llama.cpp name the same most likely next token."""
    loss: float
    """llama.cpp's, nats a token over these positions."""
    torch_loss: float
    gap_mean: float
    """Mean difference between log-probabilities of the tokens that llama.cpp finds likeliest."""
    gap_max: float
    prompts: int
    greedy_equal: int
    """Prompts whose free-running greedy tokens are all equal, or first differ at a near-tie."""
    texts: int
    texts_tokenized_alike: int

    @property
    def fault(self) -> str | None:
        """Why the file must not be served as this model; None if it may be."""
        if self.texts_tokenized_alike < self.texts:
            return f"llama.cpp splits {self.texts - self.texts_tokenized_alike} of {self.texts} texts otherwise"
        if self.linear_type in ("F32", "F16"):
            differing = self.prompts - self.greedy_equal
            return f"greedy tokens differ on {differing} of {self.prompts} prompts" if differing else None
        required = REQUIRED_AGREEMENT.get(self.linear_type)
        if required is None:
            cost = self.loss - self.torch_loss
            return f"it costs {cost:.2f} nats a token, more than {LOSSY_COST}" if cost > LOSSY_COST else None
        if self.argmax_agreement < required:
            return f"the likeliest token agrees at {self.argmax_agreement:.1%} of places, less than {required:.0%}"
        return None

    @property
    def ok(self) -> bool:
        """Whether the file may be served as this model."""
        return self.fault is None


def check_parity(
    reference: Reference,
    gguf_path: Path,
    prompts_token_ids: Sequence[Sequence[int]],
    texts: Sequence[str] = (),
    positions: int = POSITIONS,
) -> ParityReport:
    """Lay llama.cpp's answers beside torch's (fp32). About 20 prompts of 17 or more tokens settle it in seconds.

    Args:
        reference: the checkpoint that `gguf_path` was exported from.
        prompts_token_ids: real text, each prompt at least 2 tokens; what the model's context can't hold is cut off.
        texts: source code to tokenise with both tokenizers.
        positions: how many at the end of each prompt are compared.

    Raises:
        ExportError: llama.cpp can't load the file or refuses a prompt, or there are no prompts.
    """
    room = reference.positions - POSITIONS - 1
    prompts = [list(ids[:room]) for ids in prompts_token_ids if len(ids) > 1]
    if not prompts:
        raise ExportError("a parity check needs prompts of at least 2 tokens; give it some real source code.")
    agreed = greedy_equal = 0
    ours: list[float] = []
    theirs: list[float] = []
    gaps: list[float] = []
    with LlamaCpp(gguf_path, max(map(len, prompts)) + POSITIONS + 1) as witness:
        for ids, sampled in zip(prompts, witness.greedy(prompts, POSITIONS), strict=True):
            first = max(1, len(ids) - positions)
            logprobs_T_V = reference.logprobs(ids)[first - 1 : -1]
            for i, place in enumerate(witness.read(ids, first, LIKELIEST)):
                ours.append(float(-logprobs_T_V[i, ids[first + i]]))
                theirs.append(-place.logprob)
                agreed += int(logprobs_T_V[i].argmax()) == place.likeliest[0][0]
                gaps += [abs(logprob - float(logprobs_T_V[i, token])) for token, logprob in place.likeliest]
            greedy_equal += _greedy_equal(reference, ids, sampled)
        alike = sum(witness.tokenize(text) == ids for text, ids in zip(texts, reference.encode(texts), strict=True))
    return ParityReport(
        linear_type=_linear_type(gguf_path),
        positions=len(ours),
        argmax_agreement=agreed / len(ours),
        loss=sum(theirs) / len(theirs),
        torch_loss=sum(ours) / len(ours),
        gap_mean=sum(gaps) / len(gaps),
        gap_max=max(gaps),
        prompts=len(prompts),
        greedy_equal=greedy_equal,
        texts=len(texts),
        texts_tokenized_alike=alike,
    )


def _greedy_equal(reference: Reference, prompt: list[int], sampled: list[int]) -> bool:
    """Whether torch, given `prompt` and each earlier token of `sampled`, would choose each token of it too."""
    logprobs_T_V = reference.logprobs(prompt + sampled)[len(prompt) - 1 : -1]
    chosen_T = logprobs_T_V.gather(-1, torch.tensor(sampled)[:, None])[:, 0]
    differing = (logprobs_T_V.argmax(-1) != torch.tensor(sampled)).nonzero()
    if not len(differing):
        return True
    first = int(differing[0])
    return bool(logprobs_T_V[first].max() - chosen_T[first] < NEAR_TIE)


def _linear_type(path: Path) -> str:
    tensors = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    return GGMLQuantizationType(tensors["blk.0.attn_q.weight"].tensor_type).name
