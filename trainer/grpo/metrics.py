"""The metrics that this package exports, declared once: dashboards and alerts are built from the declarations.

Ray is imported only when they are set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported series. `record` is the figure of the iteration's record that it shows."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    record: str
    tags: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _gauge(name: str, help_: str, record: str | None = None) -> Metric:
    return Metric(f"ferrotype_{name}", "gauge", help_, record or name)


def _counter(name: str, help_: str, record: str) -> Metric:
    return Metric(f"ferrotype_{name}_total", "counter", help_, record)


METRICS = (
    _gauge(
        "rl_iteration", "Iteration of the reinforcement-learning phase; equals the policy version.", "policy_version"
    ),
    _gauge("reward_mean", "Mean reward of the iteration's completions, 0 to 30."),
    _gauge("reward_std", "Standard deviation of the iteration's rewards."),
    _gauge("reward_parses", "Mean points for parsing."),
    _gauge("reward_compiles", "Mean points for compiling."),
    _gauge("reward_no_warnings", "Mean points for compiling without warnings."),
    _gauge("reward_tests", "Mean points for hidden tests."),
    _gauge("reward_quality", "Mean points for quality."),
    _gauge("parse_rate", "Share of completions that parse."),
    _gauge("compile_rate", "Share of completions that rustc accepts."),
    _gauge("test_pass_rate", "Share of completions that pass every hidden test.", "pass_rate"),
    _gauge("completion_length", "Mean tokens of a completion."),
    _gauge("truncated_share", "Share of completions cut off at the most tokens allowed."),
    _gauge("distinct_share", "Mean share of different texts in a group."),
    _gauge("zero_variance_share", "Share of groups whose rewards are all the same, which teach nothing."),
    _gauge("policy_entropy", "Mean entropy of the policy's distribution of a token, nats.", "entropy"),
    _gauge("clip_fraction", "Share of tokens whose gradient was clipped away."),
    _gauge("masked_fraction", "Share of tokens in completions left out because sampler and learner disagree on them."),
    _gauge("policy_kl", "Divergence from the policy that RL began with (k3 estimate), nats a token.", "kl"),
    _gauge("grad_norm", "Gradient norm before clipping."),
    _gauge("logprob_gap_mean", "Mean absolute gap between sampler's and learner's log-probabilities, nats, raw."),
    _gauge("logprob_gap_max", "Largest such gap of the iteration."),
    _gauge("staleness_mean", "Mean policy versions between sampling a group and training on it."),
    _gauge("staleness_max", "Largest such age of the iteration."),
    _gauge("rl_tokens_per_second", "Sampled tokens that were trained on, by wall time.", "tokens_per_second"),
    _gauge("rl_rollout_wait_seconds", "Seconds that the learner waited for groups.", "seconds_rollout_wait"),
    _gauge("rl_update_seconds", "Seconds of the optimizer step.", "seconds_update"),
    _gauge("rl_push_seconds", "Seconds of the weight push.", "seconds_push"),
    _gauge(
        "learner_token_budget",
        "Tokens that the learner holds at once; halved when it ran out of memory.",
        "token_budget",
    ),
    _counter("rl_iterations", "Iterations done.", "iterations"),
    _counter("rl_completions", "Completions sampled and judged for training.", "completions"),
    _counter("rl_tokens", "Tokens sampled for training.", "tokens"),
    _counter(
        "rl_filtered_groups", "Groups given up because they teach nothing, others in their place.", "filtered_groups"
    ),
    _counter("rl_infra_faults", "Completions that could not be judged, through a fault of ours.", "infra_faults"),
)


class GrpoMetrics:
    """Sets the declared metrics, in the one process that runs the algorithm."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge

        kinds = {"gauge": Gauge, "counter": Counter}
        self._series: dict[str, Any] = {m.name: kinds[m.kind](m.name, m.help, m.tags) for m in METRICS}

    def observe(self, record: Mapping[str, float]) -> None:
        """Show one iteration's record."""
        for metric in METRICS:
            value = record.get(metric.record)
            if value is None:
                continue
            if metric.kind == "gauge":
                self._series[metric.name].set(value)
            elif value > 0:
                self._series[metric.name].inc(value)
