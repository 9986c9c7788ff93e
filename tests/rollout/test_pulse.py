"""An engine lives if it answers, and goes on with what it was given."""

from __future__ import annotations

from rollout.pulse import Pulse


def test_to_answer_is_enough_where_there_is_nothing_to_do() -> None:
    pulse = Pulse(0.0)
    for now in (5.0, 10.0, 15.0):
        pulse.answered(now, sampled=7, busy=False)
        assert pulse.since == now


def test_with_requests_it_must_have_sampled_since() -> None:
    pulse = Pulse(0.0)
    pulse.answered(5.0, sampled=7, busy=True)
    pulse.answered(10.0, sampled=8, busy=True)
    pulse.answered(15.0, sampled=8, busy=True)
    assert (pulse.since, pulse.lack(22.0)) == (10.0, "its requests make no progress for 12 s")
    pulse.answered(25.0, sampled=9, busy=True)
    assert pulse.since == 25.0


def test_silence_is_told_from_standstill() -> None:
    pulse = Pulse(0.0)
    pulse.answered(5.0, sampled=7, busy=True)
    assert pulse.lack(20.0) == "no sign of life for 15 s"


def test_a_push_excuses_it() -> None:
    pulse = Pulse(0.0)
    pulse.answered(5.0, sampled=7, busy=True)
    pulse.answered(10.0, sampled=7, busy=True)
    pulse.excused(12.0)
    assert (pulse.since, pulse.lack(14.0)) == (12.0, "no sign of life for 2 s")
