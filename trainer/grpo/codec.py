"""Text to token ids and back, at the edges of the system: a task's prompt goes in, a completion comes out for rustc.

Between sampler and learner there are only token ids: nothing here is ever applied to a completion and undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from transformers import AutoTokenizer

PROMPTS_CACHED = 4096
"""A run asks the same tasks again and again; their ids are small."""


class Codec:
    """The tokenizer of a checkpoint folder. `eos_token_id` ends a completion."""

    def __init__(self, tokenizer_dir: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
        self.eos_token_id: int = self._tokenizer.eos_token_id
        self.encode = lru_cache(PROMPTS_CACHED)(self._encode)

    def _encode(self, prompt: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(prompt))

    def encode_chat(self, instruction: str) -> tuple[int, ...]:
        """A request in words as the tokenizer's chat template puts it, up to where the answer begins."""
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": instruction}], tokenize=False, add_generation_prompt=True
        )
        return self.encode_text(text)

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Text that goes on after something: nothing is put before or behind it."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    @property
    def has_chat_template(self) -> bool:
        """`encode_chat` works."""
        return bool(self._tokenizer.chat_template)

    def is_token(self, text: str) -> bool:
        """Whether `text` is one token of the vocabulary, such as a marker."""
        return text in self._tokenizer.get_vocab()

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of a completion, exactly as sampled but for special tokens, which are not text."""
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text
