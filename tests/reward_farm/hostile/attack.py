"""One hostile candidate and how it must end."""

from __future__ import annotations

from dataclasses import dataclass

from reward_farm.problem import Case, Problem
from reward_farm.verdict import Outcome

SQUARE = Problem("solve", ("i64",), "i64", (Case((2,), 4), Case((3,), 9)))
SOLVE = "pub fn solve(x: i64) -> i64 "
HONEST = SOLVE + "{ x * x }"
ALIAS = "extern crate std as hidden;\n"
"""The gate looks for `std::`, so what comes after this line must be held by the layers behind it."""


@dataclass(frozen=True, slots=True)
class Attack:
    """`ends` holds more than one outcome only where the machine decides which limit is met first."""

    source: str
    ends: tuple[Outcome, ...]
    cheat: str | None = None
    problem: Problem = SQUARE


def rejected(cheat: str, source: str) -> Attack:
    """The gate sees it and names it."""
    return Attack(source, (Outcome.REJECTED,), cheat)


def unparsed(source: str) -> Attack:
    """It is no Rust."""
    return Attack(source, (Outcome.PARSE_ERROR,))


def missing(source: str) -> Attack:
    """The function is not there."""
    return Attack(source, (Outcome.MISSING_ITEM,))


def uncompiled(source: str) -> Attack:
    """rustc says no."""
    return Attack(source, (Outcome.COMPILE_ERROR,))


def unlinked(source: str) -> Attack:
    """It type-checks and no more."""
    return Attack(source, (Outcome.LINK_FAILED,))


def wrong(source: str) -> Attack:
    """It runs and its answers are wrong or none."""
    return Attack(source, (Outcome.TEST_FAILED,))


def crashes(source: str) -> Attack:
    """It runs and ends badly."""
    return Attack(source, (Outcome.TEST_CRASH,))


def late(source: str) -> Attack:
    """It does not end."""
    return Attack(source, (Outcome.TEST_TIMEOUT,))


def undefined(source: str) -> Attack:
    """Undefined behaviour: what a jump into nowhere does can't be foretold, only that it earns nothing."""
    return Attack(source, (Outcome.TEST_FAILED, Outcome.TEST_CRASH, Outcome.TEST_TIMEOUT))


def bomb(source: str) -> Attack:
    """Costs the compiler more than it may; which limit ends it depends on the machine and the compiler's version."""
    return Attack(
        source,
        (Outcome.COMPILE_ERROR, Outcome.COMPILE_TIMEOUT, Outcome.COMPILE_MEMORY, Outcome.COMPILER_CRASH,
         Outcome.LINK_FAILED),
    )  # fmt: skip
