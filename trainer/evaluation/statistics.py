"""Intervals and tests for rates measured on a few dozen tasks with several samples each.

Samples of one task resemble each other, so the task is the unit that is resampled: treating samples as independent
would make every interval too narrow. Pure numpy, seeded; never reads files and knows nothing about Rust.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXACT_UP_TO = 14
"""Differing pairs up to which all 2^n sign flips are enumerated (16,384 of them); beyond, they are drawn."""

FLIPS = 20_000
"""Drawn sign flips: the smallest p-value that they can show is 1 / 20,001, and p = 0.05 is known to within 0.003."""

DRAW_CHUNK = 2_000
"""Flips drawn at a time, which bounds the memory to 16 MB a thousand tasks."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval and how it was made: "wilson" or "cluster bootstrap"."""

    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of `after - before` over the pairs, its interval, and the p-value of "there is no difference"."""

    pairs: int
    before: float
    after: float
    difference: float
    low: float
    high: float
    p_value: float


def wilson_interval(successes: float, trials: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927); honest at 0 and 1, where the bootstrap is blind."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, z2n = successes / trials, z * z / trials
    centre = (share + z2n / 2) / (1 + z2n)
    half = z / (1 + z2n) * sqrt(share * (1 - share) / trials + z2n / (4 * trials))
    return Interval(max(0.0, centre - half), min(1.0, centre + half), "wilson")


def ratio_intervals(
    sums_T_F: Floats, counts_T_F: Floats, *, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> list[Interval | None]:
    """Percentile intervals of `sum over tasks / count over tasks`, drawing whole tasks with replacement.

    Args:
        sums_T_F: each task's sum of each figure over its samples, (tasks, figures).
        counts_T_F: how many of the task's samples the figure was measured on.

    Returns:
        One interval a figure; None where no task was measured.
    """
    tasks = len(sums_T_F)
    if tasks == 0:
        return [None] * sums_T_F.shape[1]
    if tasks == 1:  # every draw is the task itself, and there are as many such groups as small families
        return [
            Interval(float(total / count), float(total / count), "cluster bootstrap") if count else None
            for total, count in zip(sums_T_F[0], counts_T_F[0], strict=True)
        ]
    drawn_B_T = np.random.default_rng(seed).multinomial(tasks, np.full(tasks, 1 / tasks), size=resamples)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios_B_F = (drawn_B_T @ sums_T_F) / (drawn_B_T @ counts_T_F)
    tail = (1 - confidence) / 2
    tails = (tail, 1 - tail)
    bounds_2_F = np.full((2, ratios_B_F.shape[1]), np.nan)
    # A draw of nothing but tasks without the figure is 0/0; of figures without such draws, all are sorted at once.
    whole_F = ~np.isnan(ratios_B_F).any(axis=0)
    if whole_F.any():
        bounds_2_F[:, whole_F] = np.quantile(ratios_B_F[:, whole_F], tails, axis=0)
    for column in np.flatnonzero(~whole_F & counts_T_F.any(axis=0)):
        bounds_2_F[:, column] = np.nanquantile(ratios_B_F[:, column], tails)
    return [
        Interval(float(low), float(high), "cluster bootstrap") if counts.any() else None
        for (low, high), counts in zip(bounds_2_F.T, counts_T_F.T, strict=True)
    ]


def sign_flip_p(differences_T: Floats, *, seed: int = 0) -> float:
    """Two-sided p-value that paired differences are symmetric about 0 (Fisher's permutation test).

    On differences of -1, 0 and 1 this is exactly McNemar's exact test.
    """
    moved = differences_T[np.abs(differences_T) > 1e-12]
    if len(moved) == 0:
        return 1.0
    # Sums that are equal by arithmetic differ in the last bits, and must count as equal.
    observed = abs(float(moved.sum())) - 1e-9 * float(np.abs(moved).sum())
    if len(moved) <= EXACT_UP_TO:
        bits = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float(np.mean(np.abs((1 - 2 * bits) @ moved) >= observed))
    generator = np.random.default_rng(seed)
    extreme = sum(
        int(np.sum(np.abs(generator.choice((-1.0, 1.0), size=(DRAW_CHUNK, len(moved))) @ moved) >= observed))
        for _ in range(FLIPS // DRAW_CHUNK)
    )
    return (extreme + 1) / (FLIPS + 1)


def mcnemar_p(fixed: int, broken: int) -> float:
    """Two-sided p-value that a task is as likely to be fixed as broken (McNemar 1947, exact by the binomial)."""
    changed = fixed + broken
    tail = sum(comb(changed, count) for count in range(min(fixed, broken) + 1)) / 2**changed
    return min(1.0, 2 * tail)


def paired_difference(
    before_T: Floats, after_T: Floats, *, seed: int = 0, resamples: int = 2000, confidence: float = 0.95
) -> PairedDifference:
    """Compare two systems on the same tasks, given each task's mean under each.

    Raises:
        ValueError: there are no pairs, or the lengths differ.
    """
    if len(before_T) != len(after_T) or len(before_T) == 0:
        raise ValueError(f"paired figures need the same tasks, at least one: {len(before_T)} and {len(after_T)} given")
    differences_T = after_T - before_T
    interval = ratio_intervals(
        differences_T[:, None], np.ones((len(differences_T), 1)), seed=seed, resamples=resamples, confidence=confidence
    )[0]
    assert interval is not None  # there is at least one pair
    return PairedDifference(
        pairs=len(differences_T),
        before=float(before_T.mean()),
        after=float(after_T.mean()),
        difference=float(differences_T.mean()),
        low=interval.low,
        high=interval.high,
        p_value=sign_flip_p(differences_T, seed=seed),
    )
