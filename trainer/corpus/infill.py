"""Rearranges documents so that a model learns to fill gaps: what stands around a gap first, what fills it last.

    prefix middle suffix <end>  ─►  <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle <end>      (PSM)
                                or  <|fim_suffix|> suffix <|fim_prefix|> prefix <|fim_middle|> middle <end>      (SPM)

The three parts are encoded apart, as they are when the model is asked. It is done to what a window holds of a document
(context level, which Bavarian et al. 2022 found to fill better), so that no window shows a gap without its filling.
Never joins two documents, and leaves chats as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tokenizers import Tokenizer

from trainer.corpus.errors import TokenizerError
from trainer.corpus.gap import cut
from trainer.corpus.tokenizer import (
    END_OF_TEXT_ID,
    FIM_MIDDLE_ID,
    FIM_PREFIX_ID,
    FIM_SUFFIX_ID,
    FIM_TOKENS,
    can_infill,
)

SLACK = 10
"""Tokens that a rearranged document may take more than before: three markers, and what two cuts through words cost."""
SHORTEST = 12
"""Tokens: what is shorter has no gap worth learning."""
UNDECODABLE = "\N{REPLACEMENT CHARACTER}"


class Infill:
    """Which documents are rearranged, and how: a pure function of the seed and a document's place."""

    def __init__(self, tokenizer: Tokenizer, share: float, spm_share: float, seed: int) -> None:
        """Raises `TokenizerError` if the tokenizer has no markers."""
        if not can_infill(tokenizer):
            raise TokenizerError(
                f"the tokenizer has no {', '.join(FIM_TOKENS)}, so no document can be rearranged (corpus.fim_share = "
                f"{share}). Build the corpus again, in a new run."
            )
        self.share = share
        self._tokenizer, self._spm_share, self._seed = tokenizer, spm_share, seed

    def chooses(self, *place: int) -> bool:
        """Whether the document at this place is rearranged."""
        return self._rng("chosen", place).random() < self.share

    def rearranged(self, ids: Sequence[int], *place: int) -> list[int] | None:
        """The document (or what there is of it), at most `SLACK` longer, ended by end-of-text; `place` draws the gap.

        None for what can't be cut: chats, half characters, too little text.
        """
        if len(ids) and ids[-1] == END_OF_TEXT_ID:
            ids = ids[:-1]
        if len(ids) < SHORTEST or min(ids) <= FIM_MIDDLE_ID:
            return None
        text = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        if UNDECODABLE in text:
            return None
        rng = self._rng("gap", place)
        gap = cut(text, rng)
        prefix, suffix, middle = self._encode([gap.prefix, gap.suffix, gap.middle])
        before, after = [FIM_PREFIX_ID, *prefix], [FIM_SUFFIX_ID, *suffix]
        around = [*after, *before] if rng.random() < self._spm_share else [*before, *after]
        whole = [*around, FIM_MIDDLE_ID, *middle, END_OF_TEXT_ID]
        return whole if len(whole) <= len(ids) + 1 + SLACK else None

    def _encode(self, parts: list[str]) -> list[list[int]]:
        # A marker written in a crate's text is text, as it was when the corpus was encoded.
        self._tokenizer.encode_special_tokens = True
        try:
            return [row.ids for row in self._tokenizer.encode_batch_fast(parts, add_special_tokens=False)]
        finally:
            self._tokenizer.encode_special_tokens = False

    def _rng(self, purpose: str, place: tuple[int, ...]) -> Random:
        return Random(f"{purpose}:{self._seed}:{place}")
