"""How far candidates come, from the parser to clippy, counted from what rustc said first. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from reward_farm.verdict import Outcome, Scored, Stage

STEPS = ("parse", "resolve", "types", "borrow", "compile", "tests", "clippy")
"""In the order in which a candidate meets them. `compile` is what rustc does after borrows: lints that are errors."""

_PASSED_BEFORE = {Stage.PARSE: 0, Stage.RESOLVE: 1, Stage.TYPES: 2, Stage.BORROW: 3, Stage.LINT: 4}
"""Steps that a candidate with its earliest error in a stage has come past."""


def steps_passed(scored: Scored) -> int:
    """How many of `STEPS` it came past, clippy among them where there are no lints."""
    if not scored.compiled:
        if scored.stage in _PASSED_BEFORE:
            return _PASSED_BEFORE[scored.stage]
        # No function of the name that was asked for fails to resolve; and of a compiler that did not end, no more is
        # known than that it parses.
        return 0 if scored.outcome in (Outcome.REJECTED, Outcome.PARSE_ERROR) else 1
    if not scored.passed:
        return 5
    return 6 if any(diagnostic.is_lint for diagnostic in scored.diagnostics) else 7


def funnel(verdicts: Sequence[Scored], clippy: bool) -> dict[str, int]:
    """Samples, and how many came past each step; without the last where nothing was linted."""
    passed = [steps_passed(scored) for scored in verdicts]
    steps = STEPS if clippy else STEPS[:-1]
    return {"samples": len(passed)} | {step: sum(p > n for p in passed) for n, step in enumerate(steps)}
