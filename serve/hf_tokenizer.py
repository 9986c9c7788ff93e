"""Text and token ids of a Hugging Face folder, as llama.cpp makes them of the same model in a GGUF file.

Loads the tokenizer alone, and runs no model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError

from serve.errors import EngineError

BYTE_PIECE = re.compile("<0x([0-9A-F]{2})>")
"""How SentencePiece writes a byte that is no character."""


class HfTokenizer:
    """May be used from several threads at once."""

    def __init__(self, folder: Path, vocabulary_size: int) -> None:
        from transformers import AutoTokenizer  # takes seconds

        self._size = vocabulary_size
        # Two, because whether special tokens are seen in a text is state of a tokenizer, and threads share it.
        self._plain: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, split_special_tokens=True)
        self._special: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._added = set(self._special.get_added_vocab())
        self._bytes_of = _byte_letters() if "ByteLevel" in repr(self._special.backend_tokenizer.decoder) else None

    def tokenize(self, text: str, special: bool) -> list[int]:
        """See `Engine.tokenize`."""
        tokenizer, split = (self._special, False) if special else (self._plain, True)
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=split, verbose=False)["input_ids"]
        return [int(token) for token in ids]

    def detokenize(self, ids: Sequence[int]) -> str:
        """See `Engine.detokenize`."""
        if not all(0 <= token < self._size for token in ids):
            raise EngineError(f"Token ids are 0 to {self._size - 1}.", 400)
        return str(self._special.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def render_chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """See `Engine.render_chat`."""
        turns = [dict(message) for message in messages]
        try:
            return str(self._special.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        except (TemplateError, TypeError, ValueError) as error:
            raise EngineError(str(error), 400) from error

    def bytes_of(self, token: int) -> bytes:
        """What one token writes: a part of a character too, where its text alone would be none."""
        piece = self._special.convert_ids_to_tokens(token)
        if piece is None:  # beyond the tokenizer, where the model's vocabulary is padded
            return b""
        if piece in self._added:
            return str(piece).encode()
        if self._bytes_of is not None:
            return bytes(self._bytes_of[letter] for letter in piece)
        byte = BYTE_PIECE.fullmatch(piece)
        return bytes([int(byte[1], 16)]) if byte else str(piece).replace("▁", " ").encode()


def _byte_letters() -> dict[str, int]:
    """GPT-2's letters for the 256 bytes: itself where it can be printed, or else the next free one from 256 on."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printed]
    return {chr(byte): byte for byte in printed} | {chr(256 + place): byte for place, byte in enumerate(others)}
