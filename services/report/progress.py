"""The curves of training: supervised loss, then what RL did to reward, rates, length and diversity."""

from __future__ import annotations

from dataclasses import dataclass

from services.report.chart import Series, curves
from services.report.markup import Markup, join, tag
from services.report.record import Row, RunRecord


@dataclass(frozen=True, slots=True)
class Curve:
    """A series to draw if the rows have it: its key in metrics.jsonl, its name in the legend, its colour."""

    key: str
    name: str
    color: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart of rows of some phases. The x axis is the row's step."""

    title: str
    phases: tuple[str, ...]
    curves: tuple[Curve, ...]
    percent: bool = False


def _everywhere(metric: str, title: str, percent: bool = True) -> Panel:
    """A metric on training tasks as it is sampled, and on held-out tasks every now and then."""
    held_out = (
        Curve(f"unseen_tasks/{metric}", "unseen tasks", "supervised"),
        Curve(f"unseen_families/{metric}", "unseen families", "control"),
    )
    return Panel(title, ("rl",), (Curve(metric, "training tasks", "rl"), *held_out), percent)


PANELS = (
    Panel("Loss in supervised training (nats a token)", ("base", "supervised"), (Curve("loss", "loss", "supervised"),)),
    _everywhere("reward_mean", "Reward (of 30)", percent=False),
    _everywhere("compile_rate", "Compile rate"),
    _everywhere("pass_rate", "Test-pass rate"),
    _everywhere("completion_length", "Completion length (tokens)", percent=False),
    _everywhere("distinct_share", "Diversity: distinct completions of a task"),
    Panel("Entropy (nats a token)", ("rl",), (Curve("entropy", "policy", "rl"),)),
    Panel("Groups that taught nothing (equal rewards)", ("rl",), (Curve("zero_variance_share", "groups", "rl"),), True),
    Panel("Sampler against learner, mean log-probability gap", ("rl",), (Curve("logprob_gap_mean", "gap", "rl"),)),
)  # fmt: skip


def training_curves(record: RunRecord) -> Markup | None:
    """Every panel that has rows."""
    drawn = [chart for panel in PANELS if (chart := _panel(panel, record)) is not None]
    return tag("div", drawn, class_="charts") if drawn else None


def _panel(panel: Panel, record: RunRecord) -> Markup | None:
    rows = [row for phase in panel.phases for row in record.metrics.get(phase, [])]
    series = [found for curve in panel.curves if (found := _series(curve, rows)) is not None]
    if not series:
        return None
    legend = [
        tag("span", tag("i", "", class_="dot", style=f"background:var(--{s.color})"), s.title, class_="key")
        for s in series
    ]
    caption = tag("figcaption", panel.title, tag("div", legend, class_="legend") if len(series) > 1 else None)
    x_title = "step" if "supervised" in panel.phases else "RL iteration"
    return tag("figure", caption, curves(series, x_title=x_title, percent=panel.percent))


def _series(curve: Curve, rows: list[Row]) -> Series | None:
    points = [(row["step"], value) for row in rows if isinstance(value := row.get(curve.key), (int, float))]
    if len(points) < 2:
        return None
    return Series(curve.name, curve.color, [x for x, _ in points], [float(y) for _, y in points])


def run_notes(record: RunRecord) -> Markup | None:
    """What the curves rest on, in a line."""
    supervised, rl = (record.metrics.get(phase, []) for phase in ("supervised", "rl"))
    said = []
    if supervised and (tokens := supervised[-1].get("tokens")):
        said.append(f"{tokens / 1e6:.2f}M tokens of supervised training")
    if completions := sum(row.get("completions") or 0 for row in rl):
        said.append(f"{completions:,.0f} completions judged in {rl[-1]['step']} RL iterations")
    if faults := sum(row.get("infra_faults") or 0 for row in rl):
        said.append(f"{faults:,.0f} of them excluded for faults of the farm")
    return tag("p", join("; ".join(said)), ".", class_="faint") if said else None
