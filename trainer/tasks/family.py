"""A family: one kind of function, and how to draw a member of it. Pure: never touches disk, rustc or global state.

A family draws `Draft`s. A draft says what a function does, not yet how it is worded: parameter names, phrasing and
style of the solution are chosen later, in `wording`, so that the train/unseen split can look at the meaning alone.

In the texts of a draft `$role` stands for a parameter and `$self` for the function's own name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from textwrap import dedent
from typing import Any

from reward_farm.problem import Value
from trainer.tasks.task import Split

Arguments = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """What one function means."""

    entry: str
    params: Mapping[str, str]
    """Role (a key of `vocabulary.PARAMETER_NAMES`) to Rust type, in order."""
    returns: str
    docs: tuple[str, ...]
    """Phrasings of the doc comment; each starts with a verb in the third person and ends with a full stop."""
    bodies: tuple[str, ...]
    """Solutions in several styles, the one to prefer first."""
    oracle: Callable[..., Any]
    """The same function in Python, written independently of `bodies`."""
    near: tuple[int, ...] = ()
    """Integers at which the function's behaviour changes; hidden inputs crowd around them."""
    inputs: Callable[[Random], tuple[Any, ...]] | None = None
    """Draws arguments; None draws any value of the parameters' types."""
    edges: tuple[Arguments, ...] = ()
    """Arguments that must be among the hidden inputs."""
    generics: str = ""
    """Of the function, as `<T: Ord + Copy>` or `<'a>`."""
    concrete: Mapping[str, str] = field(default_factory=dict)
    """The type that each type parameter has in the hidden cases."""

    @property
    def asked_params(self) -> tuple[str, ...]:
        """Types of the parameters in the hidden cases."""
        return tuple(map(self.asked, self.params.values()))

    def asked(self, rust_type: str) -> str:
        """A type of the signature, as the hidden cases have it: without lifetimes, type parameters filled in."""
        for name, kind in self.concrete.items():
            rust_type = re.sub(rf"\b{name}\b", kind, rust_type)
        return re.sub(r"'\w+ ", "", rust_type)

    @property
    def meaning(self) -> str:
        """Equal for two drafts that differ in wording only."""
        return f"{self.entry}({', '.join(self.params.values())}) -> {self.returns}: {self.docs[0]}"


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of a family's table: how a function's name, its doc comment and Rust say it, and what it means."""

    name: str
    words: str
    rust: str
    apply: Callable[..., Any]
    returns: str = ""
    """The Rust type of the result, where rows differ in it."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of function. Of a `TRAIN` family some functions are kept from training; of any other, all."""

    name: str
    make: Callable[[Random], Draft]
    difficulty: float = 0.5
    """0 easy to 1 hard."""
    tags: tuple[str, ...] = field(default=())
    split: Split = Split.TRAIN


def family(*tags: str, difficulty: float, split: Split = Split.TRAIN) -> Callable[[Callable[[Random], Draft]], Family]:
    """Makes a `Family` of a function that draws drafts, named after it."""
    return lambda make: Family(make.__name__, make, difficulty, tags, split)


def rust(source: str) -> str:
    """A Rust body written as an indented triple-quoted string."""
    return dedent(source).strip()
