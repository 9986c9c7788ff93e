"""What an operator sees while a phase runs: the live table, and warnings in words."""

from __future__ import annotations

from rich.console import Console

from services.advice import AGAIN_AFTER, WINDOW, Adviser
from services.live import bottleneck, live_view, sparkline

STEP = {
    "reward_mean": 18.0, "reward_std": 7.5, "parse_rate": 0.98, "compile_rate": 0.87, "pass_rate": 0.5,
    "zero_variance_share": 0.25, "staleness_mean": 1.0, "entropy": 0.4, "truncated_share": 0.0, "cheat_share": 0.0,
    "infra_faults": 0.0, "completions": 64.0, "logprob_gap_mean": 0.01, "tokens_per_second": 1500.0,
    "seconds": 3.0, "seconds_rollout_wait": 2.0, "seconds_update": 0.9, "seconds_push": 0.1, "memory_mb": 2048,
}  # fmt: skip


def shown(rows: list[dict[str, float]]) -> str:
    console, table = Console(width=160), live_view(rows)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_table_shows_rates_errors_and_the_stage_that_takes_longest():
    rows = [STEP | {"reward_mean": float(n), "error_E0308": 20.0 - n, "error_E0425": 1.0 * n} for n in range(20)]
    rows[10]["unseen_tasks/compile_rate"], rows[10]["unseen_tasks/pass_rate"] = 0.8, 0.4
    text = shown(rows)
    for part in ("19.0 ± 7.5", "▁", "█", "+10.0 in 10 steps", "87% compile", "25% with equal rewards", "entropy 0.400"):
        assert part in text, text
    assert "most: waiting for rollouts" in text
    assert "E0425 ×19 ↑" in text and "E0308 ×1 ↓" in text
    assert "unseen tasks 80% compile, 40% pass" in text
    assert "2.0 GiB" in text


def test_supervised_steps_show_their_loss_and_other_phases_nothing():
    assert "5.000 nats" in shown([{"loss": 6.0}, {"loss": 5.0, "tokens_per_second": 100.0}])
    assert live_view([]) is None
    assert live_view([{"documents": 3}]) is None


def test_a_sparkline_spans_its_own_values():
    assert sparkline([0.0, 1.0]) == "▁█"
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline([float("nan"), 1.0], width=5) == "▁"
    assert len(sparkline([float(n) for n in range(100)])) == 40
    assert bottleneck({"seconds": 1.0}) is None


def heard(changes: dict[str, float], steps: int = WINDOW) -> list[str]:
    adviser = Adviser()
    return [text for _ in range(steps) for text in adviser.hear(STEP | changes)]


def test_a_healthy_run_is_not_warned_about():
    assert heard({}, steps=100) == []


def test_each_trouble_is_said_once_in_a_while_with_what_to_do():
    for changes, says in (
        ({"zero_variance_share": 0.78}, "78% of groups have equal rewards"),
        ({"truncated_share": 0.5}, "raise grpo.max_completion_tokens"),
        ({"entropy": 0.001}, "hardly explores"),
        ({"logprob_gap_mean": 0.8}, "0.80 nats a token apart"),
        ({"cheat_share": 0.2}, "20% of completions try to cheat"),
        ({"infra_faults": 8.0}, "could not be judged"),
    ):
        (said,) = heard(changes)
        assert says in said
        assert len(heard(changes, steps=AGAIN_AFTER + WINDOW)) == 2, "said again after a while"
    assert heard({"zero_variance_share": 0.9, "reward_mean": 29.0})[0].endswith("harder tasks")


def test_a_reward_that_falls_a_loss_that_jumps_and_a_skipped_step_are_said():
    adviser = Adviser()
    said = [text for n in range(60) for text in adviser.hear(STEP | {"reward_mean": 20.0 if n < 30 else 12.0})]
    assert said[0].startswith("the reward fell from 20.0 to")
    adviser = Adviser()
    assert [text for loss in (2.0, 2.0, 2.0, 2.0, 3.0) for text in adviser.hear({"loss": loss})] == [
        "the loss rose from 2.000 to 3.000: lower pretrain.learning_rate if it does not come down again"
    ]
    assert "not finite" in Adviser().hear({"skipped_updates": 1.0})[0]
