"""The figures, out of the arms' steps. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.grpo_vs_trl.job import Step

WINDOW = 4
"""Steps over which a reward is averaged: a step has few prompts, easy or hard ones."""
RESAMPLES = 10_000

Runs = Sequence[Sequence[Step]]
"""An arm's steps, a list a round."""


def equal_steps(trl: Runs, ferrotype: Runs) -> tuple[list[list[Step]], list[list[Step]]]:
    """Rounds that both arms have, each as long as the shorter of the two: an arm may have run out of time."""
    pairs = [
        (list(a)[: min(len(a), len(b))], list(b)[: min(len(a), len(b))]) for a, b in zip(trl, ferrotype, strict=False)
    ]
    return [a for a, _ in pairs], [b for _, b in pairs]


def compare(trl: Runs, ferrotype: Runs, warmup: int, goal: float | None = None) -> dict[str, Any]:
    """Everything that is said of rounds of equal steps. `goal`: the reward whose time is looked for; None takes the
    highest that both arms reached in every round."""
    if goal is None:
        goal = min(max(smoothed(run)) for runs in (trl, ferrotype) for run in runs)
    return {
        "steps": [len(run) for run in trl],
        "goal": goal,
        "trl": arm(trl, warmup, goal),
        "ferrotype": arm(ferrotype, warmup, goal),
        "step_ratio": ratios(trl, ferrotype, warmup, lambda step: step.seconds),
        "cpu_ratio": ratios(trl, ferrotype, warmup, lambda step: step.cpu_seconds),
        "reward_difference": difference(trl, ferrotype),
    }


def arm(runs: Runs, warmup: int, goal: float) -> dict[str, Any]:
    """One arm's. Times are of the steps after the first `warmup` of each round."""
    timed = [step for run in runs for step in run[warmup:]]
    seconds = [step.seconds for step in timed]
    steps = min(map(len, runs))
    return {
        "step_seconds": statistics.mean(seconds),
        "step_median": statistics.median(seconds),
        "step_range": [min(seconds), max(seconds)],
        "cpu_seconds": statistics.mean(step.cpu_seconds for step in timed),
        "parts": {part: statistics.mean(step.parts[part] for step in timed) for part in timed[0].parts},
        "part_tokens_per_second": {
            part: sum(step.tokens for step in timed) / max(sum(step.parts[part] for step in timed), 1e-9)
            for part in timed[0].parts
        },
        "tokens_per_second": sum(step.tokens for step in timed) / sum(seconds),
        "tokens_a_step": statistics.mean(step.tokens for step in timed),
        "reward_first": mean_interval([step.reward for run in runs for step in run[: steps // 2]]),
        "reward_last": mean_interval([step.reward for run in runs for step in run[-(steps // 2) :]]),
        "seconds_to_goal": [reached(run, goal) for run in runs],
    }


def ratios(trl: Runs, ferrotype: Runs, warmup: int, of: Callable[[Step], float]) -> list[float]:
    """TRL's mean over Ferrotype's, a round each. No median: overlapping steps come in pairs, one short, one long."""
    return [
        statistics.mean(map(of, run[warmup:])) / statistics.mean(map(of, ours[warmup:]))
        for run, ours in zip(trl, ferrotype, strict=True)
    ]


def overlap(overlapping: Runs, synchronous: Runs, warmup: int, cores: int) -> dict[str, float]:
    """How well stages that run at once hide each other.

    Where nothing overlaps (`max_lag = 0`), each stage has the machine for itself, and its time there is what it takes:
    sampling with its verdicts is `wait`, learning is `update` and `push`. A step can't be shorter than the longer of
    the two, nor than its CPU time over all cores.
    """
    alone = [step for run in synchronous for step in run[warmup:]]
    both = [step for run in overlapping for step in run[warmup:]]
    sampling = statistics.mean(step.parts["wait"] for step in alone)
    learning = statistics.mean(step.parts["update"] + step.parts["push"] for step in alone)
    seconds = statistics.mean(step.seconds for step in both)
    least_cpu = statistics.mean(step.cpu_seconds for step in alone) / cores
    return {
        "sampling_alone": sampling,
        "learning_alone": learning,
        "step_alone": statistics.mean(step.seconds for step in alone),
        "step": seconds,
        "over_longest_stage": seconds / max(sampling, learning),
        "cpu_over_cores": least_cpu,
        "over_what_the_cores_allow": seconds / max(sampling, learning, least_cpu),
    }


def smoothed(run: Sequence[Step]) -> list[float]:
    """Means of each step's reward and of those just before it, from the `WINDOW`-th step on; of all where they are
    fewer."""
    window = min(WINDOW, len(run))
    return [statistics.mean(step.reward for step in run[end - window : end]) for end in range(window, len(run) + 1)]


def reached(run: Sequence[Step], goal: float) -> float | None:
    """Seconds of training until the smoothed reward is `goal`; None where it never is."""
    rewards = smoothed(run)
    for place, reward in enumerate(rewards):
        if reward >= goal:
            return sum(step.seconds for step in run[: len(run) - len(rewards) + place + 1])
    return None


def difference(trl: Runs, ferrotype: Runs) -> tuple[float, float, float]:
    """Mean reward at equal steps, Ferrotype's less TRL's, with its 95 % interval.

    Both arms have the same prompts in the same step, so steps are pairs.
    """
    return mean_interval(
        [b.reward - a.reward for run, ours in zip(trl, ferrotype, strict=True) for a, b in zip(run, ours, strict=True)]
    )


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """A mean and its 95 % interval, by bootstrap."""
    draws = np.random.default_rng(0).choice(values, (RESAMPLES, len(values))).mean(1)
    low, high = np.percentile(draws, (2.5, 97.5))
    return statistics.mean(values), float(low), float(high)
