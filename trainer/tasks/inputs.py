"""Random hidden inputs: small values of a Rust type, with the shapes that break wrong answers (empty, zero, bounds).

Small, so that no reference overflows. Text is ASCII, in which Python and Rust agree on letters and case.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from reward_farm.problem import Value
from trainer.tasks.vocabulary import INTEGERS, SIGNED

MAX_ITEMS = 7
MAX_INTEGER = 20
WORDS = (
    "a", "I", "go", "level", "Rust", "code", "noon", "hello", "World", "x1y2", "42", "7", "ok!", "e-mail", "data",
    "test", "abc", "ABC", "radar", "Tree", "zoo", "deed", "orange", "Idea", "(b)", "c3", "to,do", "best",
)  # fmt: skip
CHARACTERS = "abcdeiorstuxyzAEBQZ0123579 .,!-?"


def integer(rng: Random, int_type: str, near: Sequence[int] = (), bounds: bool = False) -> int:
    """Between 0 (or -20, if signed) and 20; half of the draws at the values `near` or next to them.

    With `bounds`, all are at them or one above.
    """
    low = -MAX_INTEGER if int_type in SIGNED else 0
    if near and bounds:
        return max(low, rng.choice(near) + rng.choice((0, 0, 1)))
    if near and rng.random() < 0.5:
        return max(low, rng.choice(near) + rng.choice((-1, 0, 0, 1)))
    return rng.randint(low, MAX_INTEGER)


def word(rng: Random) -> str:
    """A word without white space."""
    return rng.choice(WORDS)


def text(rng: Random) -> str:
    """Words, sometimes with white space around them, or a jumble of characters."""
    if rng.random() < 0.4:
        return "".join(rng.choices(CHARACTERS, k=rng.randint(1, 9)))
    phrase = " ".join(rng.choices(WORDS, k=rng.choice((1, 1, 2, 3, 4))))
    return f" {phrase} " if rng.random() < 0.15 else phrase


def split_types(types: str) -> list[str]:
    """`"i32, (u8, char)"` as `["i32", "(u8, char)"]`."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(types):
        depth += (char in "(<[") - (char in ")>]")
        if char == "," and depth == 0:
            parts.append(types[start:index].strip())
            start = index + 1
    return [*parts, types[start:].strip()]


def value(
    rng: Random, rust_type: str, near: Sequence[int] = (), size: int | None = None, bounds: bool = False
) -> Value:
    """Any small value of a type. With `size`, collections and strings have that length and numbers that value; with
    `bounds`, integers are `near` values or one above."""
    inner = rust_type.partition("<")[2].removesuffix(">")
    if rust_type.startswith("&["):
        inner = rust_type[2:-1]
    if rust_type in INTEGERS:
        return integer(rng, rust_type, near, bounds) if size is None else size
    if rust_type == "f64":
        return rng.randint(-40, 40) / 4 if size is None else float(size)
    if rust_type == "bool":
        return rng.random() < 0.5
    if rust_type == "char":
        return rng.choice(CHARACTERS)
    if rust_type in ("&str", "String"):
        return text(rng) if size is None else rng.choice(CHARACTERS.replace(" ", "")) * size
    if rust_type.startswith("("):
        return tuple(value(rng, part, near, size, bounds) for part in split_types(rust_type[1:-1]))
    if rust_type.startswith("Option<"):
        empty = rng.random() < 0.3 if size is None else size == 0
        return None if empty else value(rng, inner, near, bounds=bounds)
    if rust_type.startswith(("Vec<", "&[")):
        length = rng.randint(1, MAX_ITEMS) if size is None else size
        return [value(rng, inner, near, bounds=bounds) for _ in range(length)]
    raise ValueError(f"no random values are known for the Rust type {rust_type}: give the draft its own `inputs`")
