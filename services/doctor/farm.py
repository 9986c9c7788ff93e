"""Checks of what judges a model's code: the compiler, the walls around what it makes, and both together."""

from __future__ import annotations

import time

from services.config import RunConfig
from services.doctor.check import Check, Health

GOOD = "pub fn double(x: i32) -> i32 { x.wrapping_mul(2) }"
BAD = "pub fn double(x: i32) -> i32 { x }"


def rustc(config: RunConfig) -> Check:
    """The real one, behind rustup's shim."""
    from reward_farm.toolchain import find_toolchain

    toolchain = find_toolchain(config.farm)
    return Check("rustc", Health.OK, f"{toolchain.version} ({toolchain.rustc})")


def sandbox(config: RunConfig) -> Check:
    """Every layer, with a program that tries to get out."""
    from reward_farm.probe import probe

    report = probe(config.farm)
    return Check("sandbox", Health.OK, f"nothing got out: {', '.join(report.layers)}")


def judge(config: RunConfig) -> Check:
    """A right and a wrong program from end to end."""
    from reward_farm.problem import Case, Problem
    from reward_farm.scoring import score
    from reward_farm.verdict import Outcome, Scored

    problem = Problem("double", ("i32",), "i32", (Case((2,), 4), Case((-3,), -6)))
    begun = time.monotonic()
    verdicts = score(problem, [GOOD, BAD], config.farm)
    took = time.monotonic() - begun
    earned = [verdict.reward.total for verdict in verdicts if isinstance(verdict, Scored)]
    if [getattr(verdict, "outcome", "not judged") for verdict in verdicts] != [Outcome.PASSED, Outcome.TEST_FAILED]:
        remedy = "`ferrotype check FILE --json` shows whole verdicts."
        return Check("judge", Health.MISSING, f"a right program and a wrong one are judged {verdicts!r}"[:300], remedy)
    found = f"a right program earns {earned[0]:.1f}, a wrong one {earned[1]:.1f}; {took:.1f} s"
    return Check("judge", Health.OK, found)
