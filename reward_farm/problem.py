"""What a completion is judged against: the item that must exist, its types, and the hidden cases.

Plain values only; this file never runs anything. Oracle values stay in the parent process: a `Case.expected` is
never sent into the sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Ok:
    """`Result::Ok` of a value."""

    value: Value


@dataclass(frozen=True, slots=True)
class Err:
    """`Result::Err` of a value."""

    value: Value


Value: TypeAlias = "bool | int | float | str | list[Value] | tuple[Value, ...] | dict[Value, Value] | Ok | Err | None"
"""A Rust value as Python: integers `int`, `f32`/`f64` `float`, `char` and strings `str`, `Vec`/slices/arrays `list`,
tuples `tuple` (unit is `()`), `Option` `None` or the value, `Result` `Ok`/`Err`, `HashMap`/`BTreeMap` `dict`,
`Ordering` -1, 0 or 1."""


@dataclass(frozen=True, slots=True)
class Case:
    """One hidden test: `entry(*args)` must equal `expected` (floats within 1e-6 relative)."""

    args: tuple[Value, ...]
    expected: Value


@dataclass(frozen=True, slots=True)
class Problem:
    """A function that a completion must define. With an empty `entry` and no cases, any file will do.

    `params` and `returns` are Rust types as the signature writes them, e.g. `("&[i32]", "usize")` and `"Option<i32>"`.
    With no `cases` only parsing, compiling and style are judged.

    `assertions` is for tests that exist only as Rust, such as third parties' benchmarks: statements that call `entry`
    and panic where it is wrong, by `assert!`, `assert_eq!` and `assert_ne!`, with such `use` lines as they need. They
    replace `cases`, and a verdict says that it rests on them. With `params` or `returns` the function's types are
    pinned; without (`returns` empty or `()`), only the `_eq` and `_ne` kinds are understood, and compare values of std.
    """

    entry: str
    params: tuple[str, ...]
    returns: str
    cases: tuple[Case, ...] = ()
    assertions: str = ""

    @property
    def runs(self) -> bool:
        """A candidate is linked and called, not only compiled."""
        return bool(self.cases or self.assertions)

    @property
    def questions(self) -> int:
        """How many cases a verdict tells of: all assertions are one."""
        return 1 if self.assertions else len(self.cases)


@dataclass(frozen=True, slots=True)
class Submission:
    """One candidate source file (prompt + completion) for one problem. `id` is unique within a run."""

    id: str
    source: str
    problem: Problem
