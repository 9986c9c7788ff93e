"""What the farm exports: each verdict counted once, labels from bounded sets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reward_farm.metrics import COMMON_CODES, METRICS, FarmMetrics, code_label
from reward_farm.verdict import Diagnostic, InfraFault, Outcome, RewardBreakdown, Scored, Timings, Verdict


def samples(metrics: FarmMetrics) -> dict[tuple[str, ...], float]:
    def read() -> Iterator[tuple[tuple[str, ...], float]]:
        for family in text_string_to_metric_families(metrics.exposition().decode()):
            for sample in family.samples:
                yield (sample.name.removeprefix("ferrotype_farm_"), *sample.labels.values()), sample.value

    return dict(read())


def error(code: str | None) -> Diagnostic:
    return Diagnostic("error", code, "wrong", 1, 1)


@pytest.mark.parametrize(
    ("code", "label"),
    [("E0308", "E0308"), ("E0999", "other"), (None, "none"), ("dead_code", "lint"), ("clippy::all", "clippy")],
)  # fmt: skip
def test_codes_have_labels_of_a_bounded_set(code: str | None, label: str) -> None:
    assert code_label(error(code)) == label
    assert len(COMMON_CODES) < 80 and all(len(each) == 5 for each in COMMON_CODES)


def test_a_batch_is_counted_once_and_what_was_remembered_is_not_timed_again() -> None:
    metrics = FarmMetrics()
    timings = Timings(1.0, 40.0, 8.0)
    wrong = Scored("a", Outcome.COMPILE_ERROR, RewardBreakdown(), (error("E0308"), error("E0308"), error(None)))
    batch: list[Verdict] = [
        wrong,
        Scored("b", Outcome.COMPILE_ERROR, RewardBreakdown(), wrong.diagnostics, cached=True),
        Scored("c", Outcome.PASSED, RewardBreakdown(), timings=timings),
        Scored("d", Outcome.REJECTED, RewardBreakdown(), cheat="unsafe"),
        InfraFault("e", "disk full"),
    ]
    metrics.taken(7, [0.003, 4.0])
    metrics.judged(1, batch, fallbacks=2, resident_bytes=1 << 27, seconds=0.4)
    metrics.faulted(retried=3, given_up=1, breaker_open=True)
    metrics.faulted(retried=0, given_up=0, breaker_open=True)
    metrics.recycled("age")
    got = samples(metrics)
    assert got["verdicts_total", "compile_error"] == 2 and got["verdicts_total", "passed"] == 1
    assert (got["error_codes_total", "E0308"], got["error_codes_total", "none"]) == (1, 1)
    assert (got["cheats_total", "unsafe"], got["cached_total",], got["batch_fallbacks_total",]) == (1, 1, 2)
    assert (got["retries_total",], got["faults_total",], got["breaker_open",]) == (3, 1, 1)
    assert (got["queue",], got["queue_seconds_count",], got["worker_memory_bytes", "1"]) == (7, 2, 1 << 27)
    assert [got["stage_seconds_sum", stage] for stage in ("gate", "compile", "test")] == [0.001, 0.04, 0.008]
    assert got["recycled_total", "age"] == 1
    metrics.closed(workers=2)
    got = samples(metrics)
    assert (got["queue",], got["breaker_open",], got["worker_memory_bytes", "1"]) == (0, 0, 0)


def test_every_declared_metric_can_be_set() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert FarmMetrics()._series.keys() == {metric.name for metric in METRICS}
