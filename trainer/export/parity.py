"""Does llama.cpp compute from the exported file what torch computes from the checkpoint?

Three questions: are free-running greedy tokens equal, does the most likely next token agree at each position of real
text (teacher-forced), and does llama.cpp split text into the same tokens? With F16 linears llama.cpp's arithmetic is
torch's up to rounding, so greedy tokens must be equal. With packed linears it rounds activations to 8 bits; single
near-ties may fall the other way, so agreement is counted. Never changes either model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from gguf import GGMLQuantizationType, GGUFReader
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from trainer.errors import CheckpointError
from trainer.export.errors import ExportError
from trainer.export.llama_cpp import LlamaCpp

REQUIRED_AGREEMENT = 0.98
"""Trained ternary models agree at every position measured; a wrong row order agrees at 71 % of them."""

NEAR_TIE = 0.02
"""Logits closer than this may change places in fp16: F16 files were seen to move a logit by up to 0.006."""

POSITIONS = 16
"""Positions compared at the end of each prompt, and greedy tokens sampled after it: 20 prompts give 320 of each."""


@dataclass(frozen=True, slots=True)
class ParityReport:
    """How far the exported file computes what the checkpoint does."""

    linear_type: str
    positions: int
    """Teacher-forced positions compared."""
    argmax_agreement: float
    """Share of them at which torch and llama.cpp name the same most likely next token."""
    prompts: int
    greedy_equal: int
    """Prompts whose free-running greedy tokens are all equal, or first differ at a near-tie."""
    texts: int
    texts_tokenized_alike: int

    @property
    def ok(self) -> bool:
        """Whether the file may be served as this model."""
        tokens_alike = self.texts_tokenized_alike == self.texts
        if self.linear_type in ("F32", "F16"):
            return tokens_alike and self.greedy_equal == self.prompts
        return tokens_alike and self.argmax_agreement >= REQUIRED_AGREEMENT


def check_parity(
    checkpoint_dir: Path,
    gguf_path: Path,
    prompts_token_ids: Sequence[Sequence[int]],
    texts: Sequence[str] = (),
) -> ParityReport:
    """Lay llama.cpp's answers beside torch's (fp32). About 20 prompts of 17 or more tokens settle it in seconds.

    Args:
        checkpoint_dir: the Hugging Face folder that `gguf_path` was exported from.
        prompts_token_ids: real text, each prompt at least 2 tokens; what the model's context can't hold is cut off.
        texts: source code to tokenise with both tokenizers.

    Raises:
        CheckpointError: the folder can't be opened.
        ExportError: llama.cpp can't load the file or refuses a prompt, or there are no prompts.
    """
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(checkpoint_dir, dtype=torch.float32).eval()
        tokenizer = Tokenizer.from_file(str(checkpoint_dir / "tokenizer.json"))
    except Exception as error:  # tokenizers raises nothing narrower
        raise CheckpointError(f"the checkpoint {checkpoint_dir} can't be opened: {error}.") from error

    room = int(model.config.max_position_embeddings) - POSITIONS - 1
    prompts = [list(ids[:room]) for ids in prompts_token_ids if len(ids) > 1]
    if not prompts:
        raise ExportError("a parity check needs prompts of at least 2 tokens; give it some real source code.")
    agreed = positions = greedy_equal = 0
    with LlamaCpp(gguf_path, max(map(len, prompts)) + POSITIONS + 1) as witness, torch.inference_mode():
        for ids, sampled in zip(prompts, witness.greedy(prompts, POSITIONS), strict=True):
            first = max(1, len(ids) - POSITIONS + 1)
            theirs = witness.greedy([ids[:end] for end in range(first, len(ids) + 1)], 1)
            ours = model(torch.tensor([ids])).logits[0, first - 1 :].argmax(-1).tolist()
            agreed += sum([token] == answer for token, answer in zip(ours, theirs, strict=True))
            positions += len(ours)
            greedy_equal += _greedy_equal(model, ids, sampled)
        alike = sum(witness.tokenize(text) == tokenizer.encode(text, add_special_tokens=False).ids for text in texts)
    return ParityReport(
        linear_type=_linear_type(gguf_path),
        positions=positions,
        argmax_agreement=agreed / positions,
        prompts=len(prompts),
        greedy_equal=greedy_equal,
        texts=len(texts),
        texts_tokenized_alike=alike,
    )


def _greedy_equal(model: PreTrainedModel, prompt: list[int], sampled: list[int]) -> bool:
    """Whether torch, given `prompt` and each earlier token of `sampled`, would choose each token of it too."""
    logits_T_V = model(torch.tensor([prompt + sampled])).logits[0, len(prompt) - 1 : -1]
    chosen_T = logits_T_V.gather(-1, torch.tensor(sampled)[:, None])[:, 0]
    differing = (logits_T_V.argmax(-1) != torch.tensor(sampled)).nonzero()
    if not len(differing):
        return True
    first = int(differing[0])
    return bool(logits_T_V[first].max() - chosen_T[first] < NEAR_TIE)


def _linear_type(path: Path) -> str:
    tensors = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    return GGMLQuantizationType(tensors["blk.0.attn_q.weight"].tensor_type).name
