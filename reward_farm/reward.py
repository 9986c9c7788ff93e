"""Points for a verdict (design, section 4): true progress pays densely, style pays only for right code. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from reward_farm.settings import RewardWeights
from reward_farm.verdict import CaseResult, Outcome, RewardBreakdown, SyntaxMetrics

SIMPLE_ENOUGH, TOO_COMPLEX = 5.0, 15.0
"""Mean cyclomatic complexity that earns all of its points, and from which none are left; linear between."""


def reward(
    outcome: Outcome,
    cases: Sequence[CaseResult],
    total_cases: int,
    warnings: int,
    metrics: SyntaxMetrics | None,
    weights: RewardWeights,
) -> RewardBreakdown:
    """The breakdown of one verdict; its total is 0 to 30 with the default weights.

    A task without cases is scored on the other parts, scaled up so that its best is the same.
    """
    scale = 1.0 if total_cases else _scale_without_tests(weights)
    if not outcome.parsed:
        return RewardBreakdown()
    if not outcome.compiled:
        return RewardBreakdown(parses=weights.parses * scale)
    passed = sum(case.status == "passed" for case in cases)
    right = outcome is Outcome.PASSED
    tests = weights.test_share * passed / total_cases + weights.all_tests * right if total_cases else 0.0
    return RewardBreakdown(
        parses=weights.parses * scale,
        compiles=weights.compiles * scale,
        no_warnings=max(0.0, weights.no_warnings - weights.per_warning * warnings) * scale,
        tests=tests,
        quality=quality(metrics, weights) * scale if right and metrics is not None else 0.0,
    )


def quality(metrics: SyntaxMetrics, weights: RewardWeights) -> float:
    """Points for style: documented, no panicking calls, iterators, closures or pattern matching, simple.

    Error handling is paid in full where nothing can panic: a function that cannot fail needs no `Result`. Straight-line
    code is idiomatic as it is; else an iterator would be forced into it for the points.
    """
    straight = metrics.cyclomatic_complexity <= 1.0
    idiomatic = metrics.uses_iterators_or_closures or metrics.pattern_matches > 0 or straight
    documented = metrics.documented_functions / max(1, metrics.functions)
    handled = 1.0 / (1 + metrics.panicking_calls)
    over = (metrics.cyclomatic_complexity - SIMPLE_ENOUGH) / (TOO_COMPLEX - SIMPLE_ENOUGH)
    simple = 1.0 - min(1.0, max(0.0, over))
    return (
        weights.docs * documented
        + weights.error_handling * handled
        + weights.idioms * idiomatic
        + weights.complexity * simple
    )


def _scale_without_tests(weights: RewardWeights) -> float:
    """What makes the other parts add up to the same best."""
    quality_points = weights.docs + weights.error_handling + weights.idioms + weights.complexity
    rest = weights.parses + weights.compiles + weights.no_warnings + quality_points
    return (rest + weights.test_share + weights.all_tests) / rest
