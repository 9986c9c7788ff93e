"""Small charts as inline SVG: curves over steps, values with intervals, stacked shares, paired bars.

Colours are the page's CSS variables, so a chart follows light and dark. Every mark has a title that browsers show on
hover. Pure: numbers in, markup out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from services.report.markup import Child, Markup, join, tag

WIDTH, HEIGHT = 420, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 30
ROW = 26
"""Height of a row in charts of rows; text of 12 px with air."""

SMOOTH_FROM = 14
"""Points from which a curve is smoothed: fewer can be read as they are."""

MOST_POINTS = 300
"""Points of a curve that are drawn: more would lie on each other, and a run of 13,000 steps would make megabytes."""


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one curve. `color` is the name of a CSS variable. Few points are drawn as a line through them."""

    title: str
    color: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval."""

    title: str
    color: str
    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a whole."""

    title: str
    color: str
    share: float
    text: str


def curves(series: Sequence[Series], *, x_title: str, percent: bool = False) -> Markup:
    """Raw points, and a smoothed line through them where there are enough."""
    series = [Series(s.title, s.color, thinned(s.x), thinned(s.y)) for s in series]
    xs = [x for s in series for x in s.x]
    ys = [y for s in series for y in s.y]
    x_ticks = ticks(min(xs), max(xs), whole=True)
    y_ticks = ticks(min(0.0, *ys) if percent else min(ys), max(ys))
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def px(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    grid = [
        join(
            tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=py(y), y2=py(y)),
            tag("text", f"{100 * y:g}%" if percent else f"{y:g}", x=LEFT - 6, y=py(y) + 4, text_anchor="end"),
        )
        for y in y_ticks
    ]
    marks = [
        tag("text", f"{x:g}", x=px(x), y=HEIGHT - BOTTOM + 15, text_anchor="middle")
        for x in x_ticks
        if x_low <= x <= x_high
    ]
    title = tag("text", x_title, x=WIDTH - RIGHT, y=HEIGHT - 2, text_anchor="end", class_="faint")
    return _svg(WIDTH, HEIGHT, *grid, *marks, title, *(_curve(s, px, py, percent) for s in series))


def _curve(series: Series, px: Callable[[float], float], py: Callable[[float], float], percent: bool) -> Markup:
    if len(series.x) < SMOOTH_FROM:
        line, radius, faint = series.y, 3.0, None
    else:
        line, radius, faint = smooth(series.y), 1.6, "0.35"
    dots = [
        tag("circle", cx=px(x), cy=py(y), r=radius, fill_opacity=faint) for x, y in zip(series.x, series.y, strict=True)
    ]
    points = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in zip(series.x, line, strict=True))
    last = f"{100 * series.y[-1]:.1f} %" if percent else f"{series.y[-1]:.4g}"
    return tag(
        "g",
        tag("title", f"{series.title}: last {last}"),
        dots,
        tag("polyline", class_="curve", points=points),
        style=f"--c:var(--{series.color})",
        class_="series",
    )


def smooth(values: Sequence[float]) -> list[float]:
    """A local linear fit, Gaussian-weighted over a few points: no lag, and true to a steep beginning."""
    y = np.asarray(values, dtype=float)
    offset = np.arange(len(y))[None, :] - np.arange(len(y))[:, None]
    weights = np.exp(-0.5 * (offset / max(3.0, len(y) / 40)) ** 2)
    s0, s1, s2 = ((weights * offset**power).sum(1) for power in range(3))
    return list((s2 * (weights @ y) - s1 * ((weights * offset) @ y)) / (s0 * s2 - s1**2))


def thinned(values: Sequence[float]) -> list[float]:
    """Means of neighbours, so that `MOST_POINTS` at most are left."""
    return [
        float(np.mean(part)) for part in np.array_split(np.asarray(values, dtype=float), min(len(values), MOST_POINTS))
    ]


def intervals(groups: Sequence[tuple[str, Sequence[Bar]]], *, limit: float) -> Markup:
    """Points with whiskers on a scale from 0 to `limit`, a titled block of rows for each group."""
    left, right = 108, 112
    rows: list[Markup] = []
    y = 4.0

    def px(value: float) -> float:
        return left + value / limit * (WIDTH - left - right)

    for title, bars in groups:
        rows.append(tag("text", title, x=0, y=y + 13, class_="strong"))
        y += 20
        for bar in bars:
            middle = y + ROW / 2 - 3
            rows.append(
                tag(
                    "g",
                    tag("title", f"{title}, {bar.title}: {bar.text}"),
                    tag("text", bar.title, x=10, y=middle + 4),
                    tag("line", class_="grid", x1=left, x2=WIDTH - right, y1=middle, y2=middle),
                    tag("line", class_="whisker", x1=px(bar.low), x2=px(bar.high), y1=middle, y2=middle),
                    tag("circle", cx=px(bar.value), cy=middle, r=5),
                    tag("text", bar.text, x=WIDTH, y=middle + 4, text_anchor="end", class_="number"),
                    style=f"--c:var(--{bar.color})",
                    class_="series",
                )
            )
            y += ROW
        y += 8
    return _svg(WIDTH, y, *rows)


def stack(rows: Sequence[tuple[str, Sequence[Part]]]) -> Markup:
    """One bar of 100 % a row."""
    left, height = 108, 22
    drawn: list[Markup] = []
    for number, (title, parts) in enumerate(rows):
        x, y = float(left), number * (height + 10)
        drawn.append(tag("text", title, x=0, y=y + 15))
        for part in parts:
            width = part.share * (WIDTH - left)
            text = f"{100 * part.share:.0f}" if width > 22 else None
            drawn.append(
                tag(
                    "g",
                    tag("title", f"{title}: {part.title}, {part.text}"),
                    tag("rect", x=x, y=y, width=max(0.0, width - 1), height=height, rx=2),
                    text and tag("text", text, x=x + width / 2, y=y + 15, text_anchor="middle", class_="on"),
                    style=f"--c:var(--{part.color})",
                    class_="series",
                )
            )
            x += width
    return _svg(WIDTH, len(rows) * (height + 10), *drawn)


def paired_bars(rows: Sequence[tuple[str, Sequence[Bar]]]) -> Markup:
    """For each row a few bars from zero, one under the other."""
    left, right, thick = 176, 46, 9
    limit = max((bar.value for _, bars in rows for bar in bars), default=0) or 1.0
    drawn: list[Markup] = []
    y = 0.0
    for title, bars in rows:
        drawn.append(tag("text", title, x=0, y=y + thick * len(bars) / 2 + 5, class_="code"))
        for bar in bars:
            width = bar.value / limit * (WIDTH - left - right)
            drawn.append(
                tag(
                    "g",
                    tag("title", f"{title}, {bar.title}: {bar.text}"),
                    tag("rect", x=left, y=y, width=max(1.0, width), height=thick - 1, rx=1.5),
                    tag("text", bar.text, x=left + width + 5, y=y + 8, class_="small"),
                    style=f"--c:var(--{bar.color})",
                    class_="series",
                )
            )
            y += thick + 1
        y += 9
    return _svg(WIDTH, y, *drawn)


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Four to seven round numbers that span `low` to `high`."""
    span = max(high - low, 1e-9 if not whole else 1.0)
    raw = span / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw)
    step = max(step, 1.0) if whole else step
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(place * step, 10) for place in range(first, max(last, first + 1) + 1)]


def _svg(width: float, height: float, *children: Child) -> Markup:
    return tag("svg", *children, viewBox=f"0 0 {width:g} {height:g}", role="img")
