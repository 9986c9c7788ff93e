"""Grafana's dashboard of a training run, written from the metrics' declarations: `python -m services.dashboards`.

A panel can't name a metric that no role exports: it is looked up when the file is built.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.metrics import RAY_PREFIX, Declared, declared
from services.run_folder import write_text

TRAINING = Path(__file__).parents[1] / "k8s" / "grafana" / "training.json"

SCHEMA_VERSION = 41
"""Of Grafana 11's dashboards."""
COLUMNS, WIDTH, HEIGHT = 2, 12, 8
"""Grafana's grid is 24 wide."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart of one or more metrics. `unit` is Grafana's; `top` the axis's upper end where it is known."""

    title: str
    metrics: Sequence[str]
    unit: str = "short"
    top: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A heading across the dashboard; the panels up to the next one are its own."""

    title: str


PANELS: tuple[Panel | Row, ...] = (
    Row("Training"),
    Panel("Reward", ["ferrotype_reward_mean"], top=30),
    Panel("Rates on training tasks", ["ferrotype_compile_rate", "ferrotype_test_pass_rate", "ferrotype_parse_rate"],
          "percentunit", 1),
    Panel("Reward by part", [f"ferrotype_reward_{part}" for part in
          ("parses", "compiles", "no_warnings", "tests", "quality")]),
    Panel("Groups that teach nothing, completions cut off", ["ferrotype_zero_variance_share",
          "ferrotype_truncated_share", "ferrotype_distinct_share"], "percentunit", 1),
    Panel("Tokens sampled", ["ferrotype_rollout_tokens_total"]),
    Panel("Waiting and under way", ["ferrotype_farm_queue", "ferrotype_rollout_in_flight"]),
    Panel("An iteration's time", ["ferrotype_rl_rollout_wait_seconds", "ferrotype_rl_update_seconds",
          "ferrotype_rl_push_seconds"], "s"),
    Panel("Replicas that serve", ["ferrotype_rollout_replicas_serving"]),
    Panel("What became of replicas", ["ferrotype_rollout_transitions_total"]),
    Panel("Completion length", ["ferrotype_completion_length"]),
    Panel("Entropy, clipping", ["ferrotype_policy_entropy", "ferrotype_clip_fraction"]),
    Panel("Sampler against learner: gap of log-probabilities", ["ferrotype_logprob_gap_mean",
          "ferrotype_logprob_gap_max"]),
    Panel("Iteration and the version that replicas proved", ["ferrotype_rl_iteration",
          "ferrotype_rollout_policy_version"]),
    Row("Reward farm"),
    Panel("Verdicts", ["ferrotype_farm_verdicts_total", "ferrotype_farm_cached_total"]),
    Panel("Time of a candidate by stage, and its wait", ["ferrotype_farm_stage_seconds", "ferrotype_farm_queue_seconds",
          "ferrotype_farm_batch_seconds"], "s"),
    Panel("Compile errors by code", ["ferrotype_farm_error_codes_total"]),
    Panel("Cheats by kind", ["ferrotype_farm_cheats_total"]),
    Panel("Faults of ours, and what they cost", ["ferrotype_farm_faults_total", "ferrotype_farm_retries_total",
          "ferrotype_farm_suspects_total", "ferrotype_farm_breaker_open"]),
    Panel("Refused, late, compiled again", ["ferrotype_farm_refused_total", "ferrotype_farm_deadlines_total",
          "ferrotype_farm_batch_fallbacks_total"]),
    Panel("Workers ready and replaced", ["ferrotype_farm_workers", "ferrotype_farm_recycled_total"]),
    Panel("Workers' memory", ["ferrotype_farm_worker_memory_bytes"], "bytes"),
)  # fmt: skip


def query(metric: Declared) -> str:
    """PromQL of a metric over all of a run's processes: counters as rates, histograms as their 95th percentile."""
    name = RAY_PREFIX + metric.name
    if metric.kind == "counter":
        by = f" by ({', '.join(metric.tags)})" if metric.tags else ""
        return f"sum{by} (rate({name}[$__rate_interval]))"
    if metric.kind == "histogram":
        by = ", ".join(("le", *metric.tags))
        return f"histogram_quantile(0.95, sum by ({by}) (rate({name}_bucket[$__rate_interval])))"
    # Each process of a run has its own series, and a finished one's stays for minutes: the largest is the live one.
    return f"max by ({', '.join(metric.tags)}) ({name})" if metric.tags else f"max ({name})"


def dashboard(panels: Sequence[Panel | Row], metrics: dict[str, Declared]) -> dict[str, Any]:
    """Grafana's JSON.

    Raises:
        KeyError: a panel names a metric that nothing declares.
    """
    return {
        "uid": "ferrotype-training",
        "title": "Ferrotype: training",
        "tags": ["ferrotype"],
        "schemaVersion": SCHEMA_VERSION,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}]
        },
        "panels": list(_placed(panels, metrics)),
    }


def render() -> str:
    """The file's text."""
    return json.dumps(dashboard(PANELS, declared()), indent=1) + "\n"


def _placed(panels: Sequence[Panel | Row], metrics: dict[str, Declared]) -> Iterator[dict[str, Any]]:
    """Left to right and downwards, each row's heading on a line of its own."""
    top = column = 0
    for number, panel in enumerate(panels, 1):
        if isinstance(panel, Row):
            top, column = top + HEIGHT * (column > 0), 0
            place = {"x": 0, "y": top, "w": COLUMNS * WIDTH, "h": 1}
            yield {
                "id": number,
                "type": "row",
                "title": panel.title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
            top += 1
            continue
        yield _panel(number, panel, metrics, {"x": column * WIDTH, "y": top, "w": WIDTH, "h": HEIGHT})
        column = (column + 1) % COLUMNS
        top += HEIGHT * (column == 0)


def _panel(number: int, panel: Panel, metrics: dict[str, Declared], place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    shown = [metrics[name] for name in panel.metrics]
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": " ".join(metric.help for metric in shown),
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, **({"max": panel.top} if panel.top else {})},
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": source,
                "expr": query(metric),
                "legendFormat": _legend(metric),
            }
            for place, metric in enumerate(shown)
        ],
    }


def _legend(metric: Declared) -> str:
    words = metric.name.removeprefix("ferrotype_").removesuffix("_total").replace("_", " ")
    return " ".join([words, *(f"{{{{{tag}}}}}" for tag in metric.tags)])


if __name__ == "__main__":
    write_text(TRAINING, render())
    print(TRAINING)
