"""The metrics that this package exports, declared once: dashboards and alerts are built from the declarations.

Each is kept twice: in Ray's, whose agents export every process of a cluster, and in a registry of this process, for a
`GET /metrics`. Ray and prometheus_client are imported only when a metric is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reward_farm.verdict import Diagnostic, Scored, Verdict


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported series. `buckets` are a histogram's upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    tags: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""The gate takes a millisecond; a batch whose members all run into their limits takes half a minute."""

VERDICTS = Metric("ferrotype_farm_verdicts_total", "counter", "Verdicts given, by outcome.", ("outcome",))
CHEATS = Metric("ferrotype_farm_cheats_total", "counter", "Candidates refused as cheats, by kind.", ("kind",))
ERROR_CODES = Metric(
    "ferrotype_farm_error_codes_total", "counter", "Candidates with an error, by the compiler's code.", ("code",)
)
FAULTS = Metric("ferrotype_farm_faults_total", "counter", "Verdicts that are faults of ours, after retries.")
CACHED = Metric("ferrotype_farm_cached_total", "counter", "Verdicts taken from a worker's memory.")
RETRIES = Metric("ferrotype_farm_retries_total", "counter", "Submissions judged again after a fault of ours.")
FALLBACKS = Metric(
    "ferrotype_farm_batch_fallbacks_total",
    "counter",
    "Compiler runs beyond the first of a batch.",
)
REFUSED = Metric("ferrotype_farm_refused_total", "counter", "Submissions refused because the queue was full.")
DEADLINES = Metric("ferrotype_farm_deadlines_total", "counter", "Callers who got no verdict in time.")
SUSPECTS = Metric(
    "ferrotype_farm_suspects_total", "counter", "Verdicts of workers that failed their next health check."
)
RECYCLED = Metric("ferrotype_farm_recycled_total", "counter", "Workers replaced, by reason.", ("why",))
QUEUE = Metric("ferrotype_farm_queue", "gauge", "Submissions that wait for a worker.")
WORKERS = Metric("ferrotype_farm_workers", "gauge", "Workers that can judge now.")
MEMORY = Metric("ferrotype_farm_worker_memory_bytes", "gauge", "Resident memory of a worker's process.", ("worker",))
BREAKER = Metric("ferrotype_farm_breaker_open", "gauge", "1 while the circuit breaker refuses submissions.")
QUEUE_SECONDS = Metric(
    "ferrotype_farm_queue_seconds", "histogram", "Wait of a submission for a worker.", buckets=SECONDS
)
STAGE_SECONDS = Metric(
    "ferrotype_farm_stage_seconds", "histogram", "Wall time of one candidate in a stage, its share of a batch.",
    ("stage",), SECONDS,
)  # fmt: skip
BATCH_SECONDS = Metric(
    "ferrotype_farm_batch_seconds", "histogram", "Wall time of one batch in a worker.", buckets=SECONDS
)
METRICS = (
    VERDICTS, CHEATS, ERROR_CODES, FAULTS, CACHED, RETRIES, FALLBACKS, REFUSED, DEADLINES, SUSPECTS, RECYCLED, QUEUE,
    WORKERS, MEMORY, BREAKER, QUEUE_SECONDS, STAGE_SECONDS, BATCH_SECONDS,
)  # fmt: skip

COMMON_CODES = frozenset(
    f"E{number:04}"
    for number in (
        4, 23, 26, 27, 40, 61, 63, 72, 80, 106, 107, 117, 119, 255, 261, 267, 268, 277, 282, 283, 308, 309, 369, 373,
        381, 382, 384, 403, 404, 405, 412, 423, 425, 428, 432, 433, 434, 435, 499, 502, 503, 505, 506, 507, 515, 521,
        560, 562, 594, 596, 597, 599, 600, 603, 604, 605, 606, 607, 608, 609, 610, 614, 615, 616, 618, 689, 716,
    )
)  # fmt: skip
"""Codes with a label of their own: a label that could be anything would be a series for each of rustc's 500 codes."""


class FarmMetrics:
    """Sets the declared metrics, in the one process that owns the pool."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry

        self.registry = CollectorRegistry()
        self._series = {metric.name: (_ray(metric), _local(metric, self.registry)) for metric in METRICS}

    def taken(self, waiting: int, waits: Iterable[float]) -> None:
        """A worker took a batch whose members had waited so long; so many wait still."""
        self._set(QUEUE, waiting)
        for seconds in waits:
            self._observe(QUEUE_SECONDS, seconds)

    def judged(
        self, worker: int, verdicts: Sequence[Verdict], fallbacks: int, resident_bytes: int, seconds: float
    ) -> None:
        """A batch came back from a worker."""
        self._observe(BATCH_SECONDS, seconds)
        self._count(FALLBACKS, fallbacks)
        self._set(MEMORY, resident_bytes, worker=str(worker))
        for verdict in verdicts:
            if isinstance(verdict, Scored):
                self._scored(verdict)

    def faulted(self, retried: int, given_up: int, breaker_open: bool) -> None:
        """Submissions met a fault of ours, or none did."""
        self._count(RETRIES, retried)
        self._count(FAULTS, given_up)
        self._set(BREAKER, breaker_open)

    def refused(self, submissions: int) -> None:
        """The queue was full."""
        self._count(REFUSED, submissions)

    def missed_deadline(self) -> None:
        """A caller waits no longer."""
        self._count(DEADLINES, 1)

    def suspected(self, verdicts: int) -> None:
        """A worker failed a health check after so many verdicts."""
        self._count(SUSPECTS, verdicts)

    def recycled(self, why: str) -> None:
        """A worker's process is replaced."""
        self._count(RECYCLED, 1, why=why)

    def workers(self, ready: int) -> None:
        """So many can judge now."""
        self._set(WORKERS, ready)

    def closed(self, workers: int) -> None:
        """The farm and its workers are gone, and their gauges must not outlive them."""
        for gauge in (QUEUE, WORKERS, BREAKER):
            self._set(gauge, 0)
        for worker in range(workers):
            self._set(MEMORY, 0, worker=str(worker))

    def exposition(self) -> bytes:
        """In Prometheus' text form."""
        import prometheus_client

        return prometheus_client.generate_latest(self.registry)

    def _scored(self, verdict: Scored) -> None:
        self._count(VERDICTS, 1, outcome=str(verdict.outcome))
        if verdict.cached:  # what it cost and what was wrong with it is counted already
            self._count(CACHED, 1)
            return
        if verdict.cheat is not None:
            self._count(CHEATS, 1, kind=verdict.cheat)
        for code in {code_label(found) for found in verdict.diagnostics if found.level == "error"}:
            self._count(ERROR_CODES, 1, code=code)
        times = verdict.timings
        for stage, milliseconds in (("gate", times.gate_ms), ("compile", times.compile_ms), ("test", times.test_ms)):
            if milliseconds:
                self._observe(STAGE_SECONDS, milliseconds / 1000, stage=stage)

    def _count(self, metric: Metric, by: float, **tags: str) -> None:
        if by:  # Ray's counters refuse 0
            ray_series, local = self._series[metric.name]
            ray_series.inc(by, tags=tags)
            (local.labels(**tags) if tags else local).inc(by)

    def _observe(self, metric: Metric, value: float, **tags: str) -> None:
        ray_series, local = self._series[metric.name]
        ray_series.observe(value, tags=tags)
        (local.labels(**tags) if tags else local).observe(value)

    def _set(self, metric: Metric, value: float, **tags: str) -> None:
        ray_series, local = self._series[metric.name]
        ray_series.set(value, tags=tags)
        (local.labels(**tags) if tags else local).set(value)


def code_label(found: Diagnostic) -> str:
    """The label of an error: one of a bounded set."""
    if found.code is None:
        return "none"
    if found.code in COMMON_CODES:
        return found.code
    return "clippy" if found.is_lint else "other" if found.code.startswith("E0") else "lint"


def _ray(metric: Metric) -> Any:
    from ray.util import metrics

    if metric.kind == "histogram":
        return metrics.Histogram(metric.name, metric.help, list(metric.buckets), metric.tags)
    return {"counter": metrics.Counter, "gauge": metrics.Gauge}[metric.kind](metric.name, metric.help, metric.tags)


def _local(metric: Metric, registry: Any) -> Any:
    import prometheus_client

    extra: dict[str, Any] = {"buckets": metric.buckets} if metric.buckets else {}
    return getattr(prometheus_client, metric.kind.capitalize())(
        metric.name, metric.help, metric.tags, registry=registry, **extra
    )
