"""The live view of a phase on a terminal: its newest figures as a small table. Pure: rows in, a table out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]
"""One step's figures, as metrics.jsonl has them."""

SPARK = "▁▂▃▄▅▆▇█"
SPARK_STEPS = 40
"""Of the newest steps; as many characters."""
TREND_STEPS = 10
"""Between what is shown and what it is compared with: single steps are noise."""
STAGES = {
    "seconds_rollout_wait": ("waiting for rollouts", "cyan"),
    "seconds_update": ("update", "magenta"),
    "seconds_push": ("push", "yellow"),
    "seconds_checkpoint": ("checkpoint", "blue"),
}
"""Figures that add up to a step's time, as they are called, and their colours."""
BAR_WIDTH = 30
MOST_ERRORS = 6


def live_view(rows: Sequence[Row]) -> Table | None:
    """What to show of these steps, the newest last; None where a phase has nothing worth a table."""
    if not rows:
        return None
    newest = rows[-1]
    if "reward_mean" in newest:
        return _of_reinforcement(rows)
    return _of_training(rows) if "loss" in newest else None


def sparkline(values: Sequence[float], width: int = SPARK_STEPS) -> str:
    """The last `width` values as bars between their smallest and their largest."""
    shown = [value for value in values if value == value][-width:]
    if not shown:
        return ""
    low, span = min(shown), max(shown) - min(shown)
    top = len(SPARK) - 1
    return "".join(SPARK[round((value - low) / span * top) if span else 0] for value in shown)


def bottleneck(row: Row) -> str | None:
    """The stage that took most of a step, in words."""
    stages = {name: float(row[name]) for name in STAGES if row.get(name)}
    return STAGES[max(stages, key=lambda name: stages[name])][0] if stages else None


def _of_reinforcement(rows: Sequence[Row]) -> Table:
    newest, rewards = rows[-1], _series(rows, "reward_mean")
    table = _grid()
    reward = Text(f"{rewards[-1]:.1f} ± {newest.get('reward_std', 0.0):.1f} of 30  ")
    reward.append(sparkline(rewards), "green").append(f"  {_change(rewards)}", "dim")
    table.add_row("reward", reward)
    table.add_row(
        "completions",
        _joined(
            _share(newest, "parse_rate", "parse"),
            _share(newest, "compile_rate", "compile"),
            _share(newest, "pass_rate", "pass"),
            _number(newest, "completion_length", "{:.0f} tokens long"),
            _share(newest, "truncated_share", "cut off"),
        ),
    )
    table.add_row(
        "groups",
        _joined(
            _share(newest, "zero_variance_share", "with equal rewards"),
            _share(newest, "solved_share", "solved"),
            _number(newest, "staleness_mean", "lag {:.1f}"),
            _number(newest, "discarded_groups", "{:.0f} discarded"),
        ),
    )
    table.add_row(
        "policy",
        _joined(
            _number(newest, "entropy", "entropy {:.3f} nats"),
            _number(newest, "kl", "KL {:.4f}"),
            _number(newest, "logprob_gap_mean", "gap to sampler {:.4f}"),
            _share(newest, "clip_fraction", "clipped"),
            _number(newest, "grad_norm", "gradient {:.2f}"),
        ),
    )
    table.add_row("step", _stages(newest))
    table.add_row(
        "speed",
        _joined(
            _number(newest, "tokens_per_second", "{:,.0f} tokens/s"),
            _number(newest, "verdicts_per_second", "{:.1f} verdicts/s"),
            _number(newest, "farm_ready", "{:.0f} judges"),
            _number(newest, "farm_waiting", "{:.0f} waiting"),
            _number(newest, "infra_faults", "{:.0f} faults"),
            _memory(newest),
        ),
    )
    if errors := _errors(rows):
        table.add_row("rustc says", errors)
    if held_out := _held_out(rows):
        table.add_row("held out", held_out)
    return table


def _of_training(rows: Sequence[Row]) -> Table:
    newest, losses = rows[-1], _series(rows, "loss")
    table = _grid()
    loss = Text(f"{losses[-1]:.3f} nats  ")
    loss.append(sparkline(losses), "green").append(f"  {_change(losses, '{:+.3f}')}", "dim")
    table.add_row("loss", loss)
    table.add_row(
        "speed",
        _joined(
            _number(newest, "tokens_per_second", "{:,.0f} tokens/s"),
            _number(newest, "learning_rate", "learning rate {:.2g}"),
            _number(newest, "grad_norm", "gradient {:.2f}"),
            _memory(newest),
        ),
    )
    return table


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _series(rows: Sequence[Row], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row.get(name) is not None]


def _change(values: Sequence[float], form: str = "{:+.1f}") -> str:
    """The mean of the last steps against that of the ones before."""
    last, before = values[-TREND_STEPS:], values[-2 * TREND_STEPS : -TREND_STEPS]
    if len(before) < TREND_STEPS:
        return ""
    return f"{form.format((sum(last) - sum(before)) / TREND_STEPS)} in {TREND_STEPS} steps"


def _share(row: Row, name: str, words: str) -> str | None:
    value = row.get(name)
    return None if value is None else f"{value:.0%} {words}"


def _number(row: Row, name: str, form: str) -> str | None:
    value = row.get(name)
    return None if value is None else form.format(value)


def _memory(row: Row) -> str | None:
    value = row.get("memory_mb")
    return None if not value else f"{value / 1024:.1f} GiB"


def _joined(*parts: str | None) -> Text:
    return Text("  ·  ", "dim").join([Text(part) for part in parts if part])


def _stages(row: Row) -> Text:
    """The step's time as a bar of its stages, with the longest named."""
    times = {name: float(row.get(name) or 0.0) for name in STAGES}
    total, text = sum(times.values()), Text()
    for name, seconds in times.items():
        text.append("█" * round(BAR_WIDTH * seconds / total) if total else "", STAGES[name][1])
    text.append(f"  {row.get('seconds', total):.1f} s")
    for name, seconds in times.items():
        if seconds:
            text.append("  ·  ", "dim").append(f"{STAGES[name][0]} {seconds:.1f}", STAGES[name][1])
    if (longest := bottleneck(row)) is not None:
        text.append("  ·  ", "dim").append(f"most: {longest}", "bold")
    return text


def _errors(rows: Sequence[Row]) -> Text | None:
    """rustc's commonest error codes, with how they changed."""
    newest = {name: value for name, value in rows[-1].items() if name.startswith("error_") and value}
    if not newest:
        return None
    earlier = rows[-1 - TREND_STEPS] if len(rows) > TREND_STEPS else {}
    parts = []
    for name, number in sorted(newest.items(), key=lambda item: -item[1])[:MOST_ERRORS]:
        before = earlier.get(name, 0) or 0
        arrow = "" if not earlier or number == before else " ↑" if number > before else " ↓"
        parts.append(f"{name.removeprefix('error_')} ×{number:.0f}{arrow}")
    return _joined(*parts)


def _held_out(rows: Sequence[Row]) -> Text | None:
    """The newest evaluation on tasks that nothing is trained on."""
    for row in reversed(rows):
        names = [name.removesuffix("/compile_rate") for name in row if name.endswith("/compile_rate")]
        if names:
            rates = {name: (row[f"{name}/compile_rate"], row.get(f"{name}/pass_rate", 0.0)) for name in names}
            parts = [
                f"{name.replace('_', ' ')} {compiles:.0%} compile, {passes:.0%} pass"
                for name, (compiles, passes) in rates.items()
            ]
            return _joined(*parts, f"iteration {row.get('policy_version', 0):.0f}")
    return None
