"""What an iteration did, in numbers: pure functions from groups to a flat dict. Every number is a float, so it is JSON.

Shares are 0 to 1, rewards 0 to 30, lengths in tokens, times in seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reward_farm.verdict import Outcome, Scored
from trainer.grpo.advantage import SMALLEST_SPREAD
from trainer.grpo.group import Group

REWARD_PARTS = ("parses", "compiles", "no_warnings", "tests", "quality")


@dataclass(frozen=True, slots=True)
class IterationRecord:
    """One iteration. Iteration 0 evaluates the starting policy and nothing else."""

    iteration: int
    last_iteration: int
    metrics: dict[str, float]
    events: tuple[str, ...] = ()
    """What became of rollout replicas meanwhile, in words."""


def judged_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """How good the completions of these groups are. Faults of ours are counted, and in no mean.

    `distinct_share` is the share of different texts in a group, on average over groups of at least two; `compile_rate`,
    `parse_rate` and `pass_rate` are over completions, `solved_share` over tasks that at least one of them passed.
    """
    samples = [sample for group in groups for sample in group.samples]
    verdicts = [sample.verdict for sample in samples if isinstance(sample.verdict, Scored)]
    metrics = {
        "completions": float(len(samples)),
        "infra_faults": float(len(samples) - len(verdicts)),
        "completion_length": _mean([len(sample.completion.token_ids) for sample in samples]),
        "truncated_share": _mean([sample.completion.finish_reason == "length" for sample in samples]),
    }
    if several := [group.samples for group in groups if len(group.samples) > 1]:
        metrics["distinct_share"] = _mean([len({s.text for s in siblings}) / len(siblings) for siblings in several])
    if not verdicts:
        return metrics
    rewards = [verdict.reward.total for verdict in verdicts]
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    return metrics | {
        "reward_mean": _mean(rewards),
        "reward_std": float(np.std(rewards)),
        **{f"reward_{part}": _mean([getattr(v.reward, part) for v in verdicts]) for part in REWARD_PARTS},
        "parse_rate": _mean([verdict.parsed for verdict in verdicts]),
        "compile_rate": _mean([verdict.compiled for verdict in verdicts]),
        "pass_rate": _mean([verdict.passed for verdict in verdicts]),
        "solved_share": _mean(
            [any(s.scored is not None and s.scored.passed for s in group.samples) for group in groups]
        ),
        "cheat_share": _mean([verdict.cheat is not None for verdict in verdicts]),
        **{f"outcome_{outcome}": float(outcomes[outcome]) for outcome in Outcome},
        **{f"error_{code}": float(number) for code, number in error_codes(verdicts).items()},
    }


def error_codes(verdicts: Sequence[Scored]) -> Counter[str]:
    """Completions in which rustc gave each error code at least once."""
    return Counter(code for v in verdicts for code in {d.code for d in v.diagnostics if d.level == "error" and d.code})


def training_metrics(groups: Sequence[Group], version: int, filtered: Sequence[Group] = ()) -> dict[str, float]:
    """`judged_metrics`, and how useful and how fresh the groups were for the update of policy `version`.

    `filtered` groups were sampled too, and given up because they teach nothing: they count in what is said of the
    policy, lest it look better for being filtered.
    """
    sampled = [*groups, *filtered]
    ages = [version - group.oldest_version for group in groups]
    flat = [
        bool(np.ptp(rewards) < SMALLEST_SPREAD) for group in sampled if len(rewards := group.rewards_G[group.valid_G])
    ]
    return judged_metrics(sampled) | {
        "zero_variance_share": _mean(flat),
        "filtered_groups": float(len(filtered)),
        "staleness_mean": _mean(ages),
        "staleness_max": float(max(ages)),
        "tokens": float(sum(len(sample.completion.token_ids) for group in groups for sample in group.samples)),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
