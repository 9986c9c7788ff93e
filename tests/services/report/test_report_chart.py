"""The arithmetic behind the charts, and the markup that they are made of."""

import numpy as np
import pytest

from services.report.chart import MOST_POINTS, smooth, thinned, ticks
from services.report.markup import join, tag


def test_markup_escapes_all_that_was_not_built_here():
    assert tag("p", "<b>", tag("i", "x&y"), 3, None, class_='a"b') == '<p class="a&quot;b">&lt;b&gt;<i>x&amp;y</i>3</p>'
    assert tag("circle", cx=1.23456, text_anchor="end", r=None) == '<circle cx="1.23" text-anchor="end"/>'
    assert join("<", tag("br")) == "&lt;<br/>"


def test_smoothing_keeps_a_straight_line_and_halves_noise():
    assert smooth(list(range(50))) == pytest.approx(list(range(50)))
    noise = np.random.default_rng(0).normal(size=300)
    assert np.std(smooth(noise.tolist())) < 0.5


def test_thinning_keeps_the_mean_and_short_curves_whole():
    assert thinned([1.0, 2.0]) == [1.0, 2.0]
    long = thinned(list(range(MOST_POINTS * 10)))
    assert len(long) == MOST_POINTS and np.mean(long) == pytest.approx((MOST_POINTS * 10 - 1) / 2)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.13, 0.27), (7.3, 21), (5, 5), (0, 13_000), (-2, 3e-4)])
def test_ticks_are_few_round_and_span_the_data(low: float, high: float):
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    assert found[0] <= low + 1e-9 and found[-1] >= high - 1e-9
    assert ticks(0, 4, whole=True) == [0, 1, 2, 3, 4]
