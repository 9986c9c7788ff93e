"""The figures as a table for a terminal, and as a chart. Pure but for printing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.grpo_vs_trl.figures import Runs, smoothed
from services.report.chart import HEIGHT, WIDTH, Series, curves
from services.report.markup import Markup, tag

WIDE = 118
"""Columns where the output is no terminal."""

STYLE = (
    "svg{--trl:#8b8f98;--ferrotype:#c8501b;background:#fff;font:12px sans-serif;fill:#23211e}"
    ".grid{stroke:#e6e1da}.series{fill:var(--c)}.curve{fill:none;stroke:var(--c);stroke-width:2}"
)
ARMS = (("TRL", "trl"), ("Ferrotype", "ferrotype"))
GAP = 24
LEGEND = 26


def show(report: dict[str, Any]) -> None:
    """Print it."""
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    if compared := report["compared"]:
        console.print(_compared(compared, report["sizes"]["rounds"]))
        mean, low, high = compared["reward_difference"]
        console.print(
            f"Reward at equal steps, Ferrotype's less TRL's: {mean:+.2f} (95 % interval {low:+.2f} to {high:+.2f})\n"
        )
    if report["overlap"]:
        console.print(_overlap(report["overlap"], report["machine"]["cores"]))
    if rollout := report["rollout"]:
        for name, share in rollout["share"].items():
            low, high = rollout["share_range"][name]
            console.print(
                f"Rollout tokens/s over those of bare vLLM's {name} on the same requests: {share:.2f} "
                f"({low:.2f} to {high:.2f}); goal: at least 0.90"
            )
        console.print()
    if tried := report["tried"]:
        ways = ", ".join(f"{one['threads']} x {one['micro_batch']}: {one['seconds']:.2f} s" for one in tried)
        console.print(f"Ways of running TRL (torch threads x micro-batch): {ways}. The fastest was compared.")
    for note in report["notes"]:
        console.print(note)
    machine = report["machine"]
    console.print(
        f"{machine['cores']} cores, load {machine['load_before']:.1f} before and {machine['load_after']:.1f} after."
    )


def _compared(compared: dict[str, Any], rounds: int) -> Table:
    trl, ours = compared["trl"], compared["ferrotype"]
    title = f"GRPO: {rounds} rounds, {' and '.join(map(str, compared['steps']))} steps of both"
    table = Table(title=title, title_justify="left")
    for column in ("", "TRL", "Ferrotype", "TRL / Ferrotype"):
        table.add_column(column, justify="right" if column else "left")

    def row(title: str, values: Sequence[str], ratio: str = "") -> None:
        table.add_row(title, *values, ratio)

    both = (trl, ours)
    row(
        "seconds a step, mean (median; range)",
        [
            f"{a['step_seconds']:.2f} ({a['step_median']:.2f}; {a['step_range'][0]:.2f} to {a['step_range'][1]:.2f})"
            for a in both
        ],
        " / ".join(f"{ratio:.2f}" for ratio in compared["step_ratio"]),
    )
    row(
        "CPU seconds a step",
        [f"{a['cpu_seconds']:.2f}" for a in both],
        " / ".join(f"{ratio:.2f}" for ratio in compared["cpu_ratio"]),
    )
    row("parts of a step, seconds", [_parts(a["parts"], ".2f") for a in both])
    row("completion tokens/s in each part", [_parts(a["part_tokens_per_second"], ".0f") for a in both])
    row(
        "completion tokens/s, whole step",
        [f"{a['tokens_per_second']:.0f}" for a in both],
        f"{trl['tokens_per_second'] / ours['tokens_per_second']:.2f}",
    )
    row("completion tokens a step", [f"{a['tokens_a_step']:.0f}" for a in both])
    row("reward, first half", [_interval(a["reward_first"]) for a in both])
    row("reward, last half", [_interval(a["reward_last"]) for a in both])
    row(
        f"seconds to reward {compared['goal']:.2f}",
        [_times(a["seconds_to_goal"]) for a in both],
        _times_ratio(trl["seconds_to_goal"], ours["seconds_to_goal"]),
    )
    return table


def _overlap(figures: dict[str, float], cores: int) -> Table:
    table = Table(title="Overlap: Ferrotype's stages alone (max_lag = 0) and at once", title_justify="left")
    table.add_column("")
    table.add_column("seconds", justify="right")
    for title, name in (
        ("sampling with verdicts, alone", "sampling_alone"),
        ("update and push, alone", "learning_alone"),
        (f"all CPU time of a step / {cores} cores", "cpu_over_cores"),
        ("a step, one stage after another", "step_alone"),
        ("a step, stages at once", "step"),
    ):
        table.add_row(title, f"{figures[name]:.2f}")
    table.add_row("step / longest stage (goal: at most 1.15)", f"{figures['over_longest_stage']:.2f}")
    table.add_row("step / longest of stages and CPU time", f"{figures['over_what_the_cores_allow']:.2f}")
    return table


def chart(trl: Runs, ferrotype: Runs) -> str:
    """Reward over seconds of training, and over steps, as an SVG file; a line a round."""
    runs = {"trl": trl, "ferrotype": ferrotype}
    seconds = [
        Series(f"{title}, round {number}", color, list(np.cumsum([s.seconds for s in run])[-len(smoothed(run)) :]),
               smoothed(run))
        for title, color in ARMS
        for number, run in enumerate(runs[color], 1)
    ]  # fmt: skip
    steps = [
        Series(f"{title}, round {number}", color, [s.step for s in run][-len(smoothed(run)) :], smoothed(run))
        for title, color in ARMS
        for number, run in enumerate(runs[color], 1)
    ]
    legend = [
        tag("text", title, x=56 + 50 * place, y=18, style=f"fill:var(--{color})")
        for place, (title, color) in enumerate(ARMS)
    ]
    panels = [
        tag("svg", drawn, x=place * (WIDTH + GAP), y=LEGEND, width=WIDTH, height=HEIGHT)
        for place, drawn in enumerate(
            (curves(seconds, x_title="seconds of training; reward"), curves(steps, x_title="steps; reward"))
        )
    ]
    width, height = 2 * WIDTH + GAP, HEIGHT + LEGEND
    drawn = tag("svg", tag("style", Markup(STYLE)), legend, panels, xmlns="http://www.w3.org/2000/svg",
                viewBox=f"0 0 {width} {height}", width=width, height=height)  # fmt: skip
    return drawn + "\n"


def _parts(parts: dict[str, float], form: str) -> str:
    return "\n".join(f"{name} {value:{form}}" for name, value in parts.items())


def _interval(value: Sequence[float]) -> str:
    mean, low, high = value
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _times(seconds: Sequence[float | None]) -> str:
    return " / ".join("never" if each is None else f"{each:.0f}" for each in seconds)


def _times_ratio(trl: Sequence[float | None], ours: Sequence[float | None]) -> str:
    return " / ".join("" if a is None or not b else f"{a / b:.2f}" for a, b in zip(trl, ours, strict=True))
