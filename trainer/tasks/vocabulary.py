"""The words that families share: parameter names, integer types, and the atoms that pipelines are made of.

Every atom knows how English, a function name and Rust say it, and what it means. The set is small on purpose: a few
million parameters can learn it, and the product of its parts is large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

SIGNED = ("i32", "i64")
UNSIGNED = ("u32", "u64", "usize")
INTEGERS = (*SIGNED, *UNSIGNED)

PARAMETER_NAMES = {
    "xs": ("xs", "values", "items", "nums", "data"),
    "s": ("s", "text", "input", "line"),
    "words": ("words", "names", "parts", "lines"),
    "n": ("n", "num", "value", "number"),
    "c": ("c", "ch", "letter"),
    "k": ("k", "limit", "bound"),
    "target": ("target", "key", "wanted"),
    "count": ("count", "amount", "len"),
    "opt": ("opt", "maybe", "found"),
    "default": ("default", "fallback"),
    "a": ("a", "left", "first", "lhs"),
    "b": ("b", "right", "second", "rhs"),
    "grid": ("grid", "matrix", "rows", "table"),
    "edges": ("edges", "links", "roads"),
    "size": ("size", "count", "nodes"),
    "start": ("start", "from", "source"),
    "end": ("end", "goal", "to"),
    "year": ("year", "y"),
    "month": ("month", "m"),
    "day": ("day", "d"),
    "time": ("time", "clock", "text"),
    "seconds": ("seconds", "secs", "total"),
    "commands": ("commands", "events", "steps"),
    "shift": ("shift", "by", "offset"),
    "base": ("base", "radix"),
    "balance": ("balance", "funds", "money"),
    "changes": ("changes", "moves", "bookings"),
    "owned": ("owned", "buffer", "stack"),
}
"""Names by role."""

PAIRED_ROLES = frozenset({"a", "b"})
"""Roles whose names are chosen together, so that `left` goes with `right`."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """A property of an integer `x` (or of a word `w`)."""

    name: str
    words: str
    rust: str
    negated: str
    holds: Callable[[Any], bool]
    near: tuple[int, ...] = ()
    adjective: bool = False

    def of(self, noun: str) -> str:
        """`even elements of xs`, `elements of xs greater than 5`; the noun in singular or plural."""
        if self.adjective:
            return f"{self.words} {noun}"
        if self.words.startswith("at "):
            return f"{noun} that {'are' if noun.partition(' ')[0].endswith('s') else 'is'} {self.words}"
        return f"{noun} {self.words}"

    def on(self, variable: str) -> str:
        """The Rust test of another variable than `x`."""
        return self.rust.replace("x", variable)

    def not_on(self, variable: str) -> str:
        """The opposite test of another variable than `x`."""
        return self.negated.replace("x", variable)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A function from an integer `x` to an integer."""

    name: str
    participle: str
    rust: str
    apply: Callable[[int], int]
    noun: str | None = None
    """`squares`, where English has a noun for it."""

    def of(self, things: str) -> str:
        """`squares of the even elements of xs`, or `even elements of xs, each increased by 3`."""
        return f"{self.noun} of the {things}" if self.noun else f"{things}, each {self.participle}"

    def on(self, variable: str) -> str:
        """The Rust expression of another variable than `x`."""
        return self.rust.replace("x", variable)


def predicate(rng: Random, int_type: str) -> Predicate:
    """Any property that makes sense for `int_type`."""
    k, m = rng.randint(2, 12), rng.randint(3, 9)
    choices = [
        Predicate("even", "even", "x % 2 == 0", "x % 2 != 0", lambda x: x % 2 == 0, adjective=True),
        Predicate("odd", "odd", "x % 2 != 0", "x % 2 == 0", lambda x: x % 2 != 0, adjective=True),
        Predicate("nonzero", "nonzero", "x != 0", "x == 0", lambda x: x != 0, (0,), adjective=True),
        Predicate(f"above_{k}", f"greater than {k}", f"x > {k}", f"x <= {k}", lambda x: x > k, (k, k + 1)),
        Predicate(f"below_{k}", f"less than {k}", f"x < {k}", f"x >= {k}", lambda x: x < k, (k, k - 1)),
        Predicate(f"at_least_{k}", f"at least {k}", f"x >= {k}", f"x < {k}", lambda x: x >= k, (k, k - 1)),
        Predicate(f"at_most_{k}", f"at most {k}", f"x <= {k}", f"x > {k}", lambda x: x <= k, (k, k + 1)),
        Predicate(f"multiples_of_{m}", f"divisible by {m}", f"x % {m} == 0", f"x % {m} != 0", lambda x: not x % m),
    ]  # fmt: skip
    if int_type in SIGNED:
        choices += [
            Predicate("positive", "positive", "x > 0", "x <= 0", lambda x: x > 0, (0, 1), adjective=True),
            Predicate("negative", "negative", "x < 0", "x >= 0", lambda x: x < 0, (0, -1), adjective=True),
        ]
    return rng.choice(choices)


def mapping(rng: Random, int_type: str) -> Mapping:
    """Any function that neither overflows nor underflows `int_type` on small inputs."""
    k = rng.randint(2, 9)
    choices = [
        Mapping("squares", "squared", "x * x", lambda x: x * x, "squares"),
        Mapping("cubes", "cubed", "x * x * x", lambda x: x**3, "cubes"),
        Mapping("doubles", "doubled", "x * 2", lambda x: x + x, "doubles"),
        Mapping(f"plus_{k}", f"increased by {k}", f"x + {k}", lambda x: x + k),
        Mapping(f"times_{k}", f"multiplied by {k}", f"x * {k}", lambda x: x * k),
        Mapping(f"over_{k}", f"divided by {k}", f"x / {k}", lambda x: x // k if x >= 0 else -(-x // k)),
    ]
    if int_type in SIGNED:
        choices += [
            Mapping("negated", "negated", "-x", lambda x: -x),
            Mapping(f"minus_{k}", f"decreased by {k}", f"x - {k}", lambda x: x - k),
        ]
    return rng.choice(choices)


@dataclass(frozen=True, slots=True)
class CharClass:
    """A property of an ASCII character `c`."""

    name: str
    noun: str
    singular: str
    rust: str
    negated: str
    holds: Callable[[str], bool]

    @property
    def one(self) -> str:
        """`a digit`, `an uppercase letter`."""
        return f"{'an' if self.singular[0] in 'aeiou' else 'a'} {self.singular}"


def _method(name: str, noun: str, rust: str, holds: Callable[[str], bool]) -> CharClass:
    return CharClass(name, f"{noun}s", noun, rust, f"!{rust}", holds)


def _is_punctuation(c: str) -> bool:
    return c.isprintable() and not c.isalnum() and c != " "


CHAR_CLASSES = (
    _method("digits", "digit", "c.is_ascii_digit()", str.isdigit),
    _method("uppercase", "uppercase letter", "c.is_uppercase()", str.isupper),
    _method("lowercase", "lowercase letter", "c.is_lowercase()", str.islower),
    _method("letters", "letter", "c.is_alphabetic()", str.isalpha),
    _method("alphanumeric", "alphanumeric character", "c.is_alphanumeric()", str.isalnum),
    _method("punctuation", "punctuation character", "c.is_ascii_punctuation()", _is_punctuation),
    _method("vowels", "lowercase vowel", '"aeiou".contains(c)', lambda c: c in "aeiou"),
    CharClass("spaces", "spaces", "space", "c == ' '", "c != ' '", lambda c: c == " "),
)
"""Classes of ASCII characters; `char_class` adds equality with one letter."""


def char_class(rng: Random) -> CharClass:
    """Any class, or (a third of the draws) one letter."""
    if rng.random() < 0.67:
        return rng.choice(CHAR_CLASSES)
    letter = rng.choice("abcdeiorst")
    return CharClass(
        name=f"letter_{letter}",
        noun=f"'{letter}' characters",
        singular=f"'{letter}' character",
        rust=f"c == '{letter}'",
        negated=f"c != '{letter}'",
        holds=lambda c: c == letter,
    )
