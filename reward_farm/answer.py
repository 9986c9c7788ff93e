"""Finds the Rust in what a model wrote. Pure; never parses Rust, and never raises for any text.

The rule, in order:

1. Of a chat, the last message counts; of a message, its text.
2. What a model thinks aloud, up to the last `</think>`, is dropped.
3. Fenced blocks count if they are marked `rust` or `rs`; if none is, those without a mark; if there is none, any.
   A fence that never closes runs to the end; one that is marked begins anew where an unmarked one is open.
4. Of several, the last that defines the wanted function, for models correct themselves; else the last of all.
5. Without a fence, the whole text is Rust.
6. If the task began the function (`prompt`) and the Rust does not define it, it is the rest: the prompt goes before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\n`]*)$", re.MULTILINE)
_THOUGHT_ENDS = "</think>"
_RUST = {"rust", "rs"}


@dataclass(frozen=True, slots=True)
class _Block:
    mark: str
    text: str


def source_of(completion: Any, entry: str = "", prompt: str = "") -> str:
    """The source file that a completion stands for: text, a message, or a list of messages. See the rule above."""
    code = rust_in(_text(completion), entry)
    return code if not prompt or _defines(code, entry) else prompt + code


def rust_in(text: str, entry: str = "") -> str:
    """The Rust in a text, by rules 2 to 5."""
    text = text.rpartition(_THOUGHT_ENDS)[2]
    blocks = _blocks(text)
    if not blocks:
        return text
    marked = [block for block in blocks if block.mark in _RUST] or [block for block in blocks if not block.mark]
    chosen = marked or blocks
    return next((block for block in reversed(chosen) if _defines(block.text, entry)), chosen[-1]).text


def _text(completion: Any) -> str:
    match completion:
        case str():
            return completion
        case Mapping():
            return _text(completion.get("content", completion.get("text", "")))
        case Sequence() if completion and all(_is_part(item) for item in completion):
            return "".join(_text(part) for part in completion)
        case Sequence() if completion:
            return _text(completion[-1])
    return ""


def _is_part(item: Any) -> bool:
    """A piece of one message's content, in OpenAI's form, and no message of its own."""
    return isinstance(item, Mapping) and "text" in item and "role" not in item


def _blocks(text: str) -> list[_Block]:
    blocks, opened = [], None
    for fence in _FENCE.finditer(text):
        if opened is None or (fence[2].strip() and not opened[2].strip()):
            opened = fence  # a marked fence within an unmarked one: a model that began twice
        elif fence[1].startswith(opened[1]) and not fence[2].strip():
            blocks.append(_block(opened, text[opened.end() + 1 : fence.start()]))
            opened = None
    if opened is not None:
        blocks.append(_block(opened, text[opened.end() + 1 :]))
    return blocks


def _block(opened: re.Match[str], text: str) -> _Block:
    words = re.split(r"[\s,{]", opened[2].strip(), maxsplit=1)
    return _Block(words[0].lower(), text)


def _defines(code: str, entry: str) -> bool:
    return bool(entry) and re.search(rf"\bfn\s+{re.escape(entry)}\b", code) is not None
