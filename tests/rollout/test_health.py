"""A replica serves only while the last thing known of it is a proof, and dies only so often."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollout.health import ReplicaHealth, ReplicaState, RestartBudget

S = ReplicaState
EVENTS: dict[str, Callable[[ReplicaHealth], object]] = {
    "proved": lambda health: health.proved(7),
    "unproved": lambda health: health.unproved("a tensor differs"),
    "quiet": lambda health: health.quiet("no sign of life"),
    "heard": lambda health: health.heard(),
    "died": lambda health: health.died("its process is gone"),
    "restarting": lambda health: health.restarting(0.0),
}
WHERE_TO = {
    #              proved     unproved  quiet         heard         died      restarting
    S.RESTARTING: (S.HEALTHY, S.STALE, S.RESTARTING, S.RESTARTING, S.DEAD, S.RESTARTING),
    S.HEALTHY: (S.HEALTHY, S.STALE, S.SUSPECT, S.HEALTHY, S.DEAD, S.HEALTHY),
    S.SUSPECT: (S.HEALTHY, S.STALE, S.SUSPECT, S.HEALTHY, S.DEAD, S.SUSPECT),
    S.STALE: (S.HEALTHY, S.STALE, S.STALE, S.STALE, S.DEAD, S.STALE),
    S.DEAD: (S.DEAD, S.DEAD, S.DEAD, S.DEAD, S.DEAD, S.RESTARTING),
    S.RETIRED: (S.RETIRED, S.RETIRED, S.RETIRED, S.RETIRED, S.RETIRED, S.RETIRED),
}


def in_state(state: ReplicaState) -> ReplicaHealth:
    """Brought there by events alone."""
    health = ReplicaHealth(RestartBudget(restarts=0 if state is S.RETIRED else 3))
    ways = {
        S.RESTARTING: (),
        S.HEALTHY: ("proved",),
        S.SUSPECT: ("proved", "quiet"),
        S.STALE: ("unproved",),
        S.DEAD: ("died",),
        S.RETIRED: ("died", "restarting"),
    }
    for event in ways[state]:
        EVENTS[event](health)
    assert health.state is state
    return health


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize(("place", "event"), list(enumerate(EVENTS)))
def test_every_event_in_every_state(state: ReplicaState, place: int, event: str) -> None:
    health = in_state(state)
    EVENTS[event](health)
    assert health.state is WHERE_TO[state][place]
    assert health.serves == (health.state is S.HEALTHY)
    assert health.works == (health.state in (S.HEALTHY, S.SUSPECT))
    assert health.dead == (health.state in (S.DEAD, S.RETIRED))


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize(("place", "event"), list(enumerate(EVENTS)))
def test_each_change_is_told_once_and_nothing_else(state: ReplicaState, place: int, event: str) -> None:
    health, told = in_state(state), list[ReplicaState]()
    health.changed = told.append
    EVENTS[event](health)
    assert told == ([] if WHERE_TO[state][place] is state else [state])


def test_it_says_what_it_proved_and_why_it_does_not_serve() -> None:
    health = ReplicaHealth()
    health.proved(1)
    health.unproved("a tensor differs")
    assert str(health) == "stale (a tensor differs)"
    health.proved(2)
    assert (health.version, str(health)) == (2, "healthy")
    health.quiet("no sign of life for 15 s")
    assert (health.version, str(health)) == (2, "suspect (no sign of life for 15 s)")
    health.died("its process is gone")
    assert health.restarting(0.0)
    assert (health.version, health.reason) == (None, "")


def test_the_budget_is_of_a_window_that_moves_on() -> None:
    health = ReplicaHealth(RestartBudget(restarts=2, window_seconds=60))
    for now, may in ((0.0, True), (50.0, True), (61.0, True), (109.0, False)):
        health.died("out of memory")
        assert health.restarting(now) is may
    assert health.restarts == 3
    assert str(health) == "retired (2 restarts in 60 s used up; the last: out of memory)"
