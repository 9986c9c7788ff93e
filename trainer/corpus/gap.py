"""Where a text is cut into prefix, middle and suffix, so that a model can learn to fill gaps. Pure.

The cuts of Bavarian et al. 2022 (Efficient Training of Language Models to Fill in the Middle, arXiv 2207.14255): two
places drawn among all characters, so that a gap may begin inside a word, as it does under a person's hands. In a short
text most gaps would then be half of it, so three of four are what a person leaves out there: a piece of syntax, or
lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tree_sitter import Node

from reward_farm.gate import parse

HOLES = frozenset(
    (
        "call_expression", "binary_expression", "closure_expression", "match_expression", "if_expression", "arguments",
        "let_declaration", "expression_statement", "for_expression", "macro_invocation", "match_arm",
    )
)  # fmt: skip
"""Nodes that a person would leave for an editor to fill."""
SMALLEST_HOLE = 6
"""Bytes: less is no question."""
SHORT = 2048
"""Characters of a short text: a function or two."""
SYNTAX_SHARE, LINES_SHARE = 0.5, 0.25
"""Of a short text's gaps; the rest are between any two characters."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A text in three parts; together, in this order, they are the text."""

    prefix: str
    middle: str
    suffix: str


def cut(text: str, rng: Random) -> Gap:
    """A gap in `text`, drawn by `rng`; its middle may be empty, for at times nothing is missing."""
    start, end = _syntax_or_lines(text, rng) or sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return Gap(text[:start], text[start:end], text[end:])


def holes(source: bytes) -> list[tuple[int, int]]:
    """Byte ranges of the pieces of syntax that are worth a gap."""
    return [
        (node.start_byte, node.end_byte)
        for node in _nodes(parse(source))
        if node.type in HOLES and node.end_byte - node.start_byte >= SMALLEST_HOLE
    ]


def _syntax_or_lines(text: str, rng: Random) -> tuple[int, int] | None:
    """None for a long text, where chance wants it so, and where the text has no such place."""
    drawn = rng.random()
    if len(text) > SHORT or drawn >= SYNTAX_SHARE + LINES_SHARE:
        return None
    if drawn < SYNTAX_SHARE:
        source = text.encode()
        if not (found := holes(source)):
            return None
        start, end = rng.choice(found)
        before = len(source[:start].decode())
        return before, before + len(source[start:end].decode())
    lines = _lines(text)
    if not lines:
        return None
    first, last = sorted(rng.randrange(len(lines)) for _ in range(2))
    return lines[first][0], lines[last][1]


def _lines(text: str) -> list[tuple[int, int]]:
    """Of each line that isn't blank: where it begins, its indentation left standing as an editor does, and ends."""
    found, start = [], 0
    for line in text.split("\n"):
        if code := line.strip():
            begin = start + line.index(code)
            found.append((begin, begin + len(code)))
        start += len(line) + 1
    return found


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)
