"""The metrics that this package exports, declared once: dashboards and alerts are built from the declarations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ray.util.metrics import Counter, Gauge, Histogram

from rollout.types import Completion, PushReport


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported series. `buckets` are a histogram's upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    tags: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


COMPLETIONS = Metric("ferrotype_rollout_completions_total", "counter", "Completions, by how they ended.", ("reason",))
TOKENS = Metric("ferrotype_rollout_tokens_total", "counter", "Sampled tokens.")
PUSH_SECONDS = Metric(
    "ferrotype_rollout_push_seconds",
    "histogram",
    "Seconds from the start of a weight push until each replica proved it.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)
POLICY_VERSION = Metric("ferrotype_rollout_policy_version", "gauge", "Policy version that replicas last proved.")
REPLICAS_SERVING = Metric("ferrotype_rollout_replicas_serving", "gauge", "Replicas that may be given prompts.")
TRANSITIONS = Metric(
    "ferrotype_rollout_transitions_total", "counter", "Changes of a replica's state, by what it became.", ("state",)
)
IN_FLIGHT = Metric("ferrotype_rollout_in_flight", "gauge", "Completions under way in all replicas.")

METRICS = (COMPLETIONS, TOKENS, PUSH_SECONDS, POLICY_VERSION, REPLICAS_SERVING, TRANSITIONS, IN_FLIGHT)


class RolloutMetrics:
    """Sets the declared metrics, in the one process that owns the pool."""

    def __init__(self) -> None:
        self._series: dict[str, Any] = {metric.name: _series(metric) for metric in METRICS}

    def completed(self, completion: Completion) -> None:
        """One completion ended."""
        self._series[COMPLETIONS.name].inc(tags={"reason": completion.finish_reason})
        self._series[TOKENS.name].inc(len(completion.token_ids))

    def pushed(self, report: PushReport) -> None:
        """One weight push ended with at least one proved replica."""
        self._series[PUSH_SECONDS.name].observe(report.seconds)
        self._series[POLICY_VERSION.name].set(report.version)

    def changed(self, state: str) -> None:
        """One replica came to this state."""
        self._series[TRANSITIONS.name].inc(tags={"state": state})

    def load(self, serving: int, in_flight: int) -> None:
        """How many replicas serve, and how much they have to do."""
        self._series[REPLICAS_SERVING.name].set(serving)
        self._series[IN_FLIGHT.name].set(in_flight)


def _series(metric: Metric) -> Any:
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.help, list(metric.buckets), metric.tags)
    return {"counter": Counter, "gauge": Gauge}[metric.kind](metric.name, metric.help, metric.tags)
