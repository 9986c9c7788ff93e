"""How figures are written, the same in page, Markdown and terminal."""

from __future__ import annotations

from trainer.evaluation.figures import CLIPPY_FIGURE, FIGURES, LENIENT_FIGURES, TASK_FIGURES, Estimate

_ALL = (*FIGURES, *LENIENT_FIGURES, CLIPPY_FIGURE)
TITLES = {figure.name: figure.title for figure in _ALL} | TASK_FIGURES
SHARES = frozenset(figure.name for figure in _ALL if figure.is_share) | TASK_FIGURES.keys()

UNMEASURED = "–"


def percent(share: float) -> str:
    """`41.5 %`."""
    return f"{100 * share:.1f} %"


def is_share(figure: str) -> bool:
    """It is between 0 and 1, and written in percent; what has a k, such as `pass@5`, is."""
    return figure in SHARES or "@" in figure


def value_of(figure: str, value: float | None) -> str:
    """A figure's value: a percentage for shares, else two decimals (one above 100)."""
    if value is None:
        return UNMEASURED
    return percent(value) if is_share(figure) else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"


def interval_of(figure: str, estimate: Estimate) -> str:
    """`[35.2, 47.9]`, in the unit of the value."""
    if estimate.low is None or estimate.high is None:
        return ""
    scale, digits = (100, 1) if is_share(figure) else (1, 2)
    return f"[{scale * estimate.low:.{digits}f}, {scale * estimate.high:.{digits}f}]"


def difference_of(figure: str, difference: float) -> str:
    """`+21.5 points` for shares, `+3.20` otherwise."""
    return f"{100 * difference:+.1f} points" if is_share(figure) else f"{difference:+.2f}"


def p_value(p: float) -> str:
    """`p < 0.001` or `p = 0.012`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def size(count: float) -> str:
    """`1.6 MB`."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"
