"""The metrics that this package exports, declared once: dashboards and alerts are built from the declarations.

Ray is imported only when they are set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reward_farm.verdict import Scored, Verdict


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported series. `buckets` are a histogram's upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    tags: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


VERDICTS = Metric("ferrotype_farm_verdicts_total", "counter", "Verdicts given, by outcome.", ("outcome",))
FAULTS = Metric("ferrotype_farm_faults_total", "counter", "Verdicts that are faults of ours, after retries.")
CACHED = Metric("ferrotype_farm_cached_total", "counter", "Verdicts taken from a worker's memory.")
RETRIES = Metric("ferrotype_farm_retries_total", "counter", "Submissions judged again after a fault of ours.")
QUEUE = Metric("ferrotype_farm_queue", "gauge", "Submissions that wait for a worker.")
BATCH_SECONDS = Metric(
    "ferrotype_farm_batch_seconds",
    "histogram",
    "Wall time of one batch in a worker.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0),
)
METRICS = (VERDICTS, FAULTS, CACHED, RETRIES, QUEUE, BATCH_SECONDS)


class FarmMetrics:
    """Sets the declared metrics, in the one process that owns the pool."""

    def __init__(self) -> None:
        self._series: dict[str, Any] = {metric.name: _series(metric) for metric in METRICS}

    def judged(self, verdicts: Sequence[Verdict], seconds: float) -> None:
        """A batch came back from a worker."""
        self._series[BATCH_SECONDS.name].observe(seconds)
        for verdict in verdicts:
            if isinstance(verdict, Scored):
                self._series[VERDICTS.name].inc(tags={"outcome": str(verdict.outcome)})
                if verdict.cached:
                    self._series[CACHED.name].inc()

    def faulted(self, retried: int, given_up: int) -> None:
        """Submissions met a fault of ours."""
        for metric, count in ((RETRIES, retried), (FAULTS, given_up)):
            if count:  # Ray's counters refuse 0
                self._series[metric.name].inc(count)

    def queued(self, waiting: int) -> None:
        """The length of the queue."""
        self._series[QUEUE.name].set(waiting)


def _series(metric: Metric) -> Any:
    from ray.util.metrics import Counter, Gauge, Histogram

    if metric.kind == "histogram":
        return Histogram(metric.name, metric.help, list(metric.buckets), metric.tags)
    return {"counter": Counter, "gauge": Gauge}[metric.kind](metric.name, metric.help, metric.tags)
