"""The metrics that a replica exports, declared once: dashboards and alerts are built from the declarations.

Each is kept twice: in a registry of this process, for `GET /metrics`, and in Ray's, whose agents export every replica
of a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import prometheus_client
from prometheus_client import CollectorRegistry
from ray.util import metrics as ray_metrics


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported series. `buckets` are a histogram's upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    tags: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""A first token is wanted within 0.1 s; a long completion on one core takes tens of seconds."""

REQUESTS = Metric("ferrotype_serve_requests_total", "counter", "Requests answered.", ("endpoint", "status"))
REQUEST_SECONDS = Metric(
    "ferrotype_serve_request_seconds", "histogram", "Seconds until an answer ended.", ("endpoint",), SECONDS
)
FIRST_TOKEN_SECONDS = Metric(
    "ferrotype_serve_first_token_seconds", "histogram", "Seconds until a completion's first token.", buckets=SECONDS
)
PROMPT_TOKENS = Metric("ferrotype_serve_prompt_tokens_total", "counter", "Tokens of prompts read.")
COMPLETION_TOKENS = Metric("ferrotype_serve_completion_tokens_total", "counter", "Tokens written.")
CANCELLED = Metric("ferrotype_serve_cancelled_total", "counter", "Completions stopped because the client had gone.")
RUNNING = Metric("ferrotype_serve_running", "gauge", "Completions being decoded.")
WAITING = Metric("ferrotype_serve_waiting", "gauge", "Completions waiting for a slot.")

METRICS = (
    REQUESTS,
    REQUEST_SECONDS,
    FIRST_TOKEN_SECONDS,
    PROMPT_TOKENS,
    COMPLETION_TOKENS,
    CANCELLED,
    RUNNING,
    WAITING,
)


class ServeMetrics:
    """Sets the declared metrics of one replica, or some of them."""

    def __init__(self, metrics: Sequence[Metric] = METRICS) -> None:
        self.registry = CollectorRegistry()
        self._local: dict[str, Any] = {metric.name: _local(metric, self.registry) for metric in metrics}
        self._ray: dict[str, Any] = {metric.name: _ray(metric) for metric in metrics}
        self._gauges: dict[str, float] = {}

    def count(self, metric: Metric, by: float = 1, **tags: str) -> None:
        """Add to a counter."""
        if by > 0:
            self._labelled(metric, tags).inc(by)
            self._ray[metric.name].inc(by, tags=tags)

    def observe(self, metric: Metric, value: float, **tags: str) -> None:
        """Put a value into a histogram."""
        self._labelled(metric, tags).observe(value)
        self._ray[metric.name].observe(value, tags=tags)

    def requested(self, endpoint: str, status: str, seconds: float) -> None:
        """A request was answered to its last byte."""
        self.count(REQUESTS, endpoint=endpoint, status=status)
        self.observe(REQUEST_SECONDS, seconds, endpoint=endpoint)

    def shift(self, metric: Metric, by: float) -> None:
        """Add to a gauge; what several models share of one replica is one series."""
        value = self._gauges.get(metric.name, 0.0) + by
        self._gauges[metric.name] = value
        self._local[metric.name].set(value)
        self._ray[metric.name].set(value)

    def exposition(self) -> bytes:
        """This replica's metrics in Prometheus' text form."""
        return prometheus_client.generate_latest(self.registry)

    def _labelled(self, metric: Metric, tags: dict[str, str]) -> Any:
        return self._local[metric.name].labels(**tags) if tags else self._local[metric.name]


def _local(metric: Metric, registry: CollectorRegistry) -> Any:
    extra = {"buckets": metric.buckets} if metric.buckets else {}
    kind = getattr(prometheus_client, metric.kind.capitalize())
    return kind(metric.name, metric.help, metric.tags, registry=registry, **extra)


def _ray(metric: Metric) -> Any:
    extra = {"boundaries": list(metric.buckets)} if metric.buckets else {}
    kind = getattr(ray_metrics, metric.kind.capitalize())
    return kind(metric.name, description=metric.help, tag_keys=metric.tags, **extra)
