"""A replica serves only while the last thing known of it is a proof."""

from __future__ import annotations

from rollout.health import ReplicaHealth, ReplicaState


def test_only_a_proof_makes_it_serve() -> None:
    health = ReplicaHealth()
    assert not health.serves
    health.proved(1)
    assert (health.serves, health.version) == (True, 1)
    health.unproved("a tensor differs")
    assert (health.serves, str(health)) == (False, "stale (a tensor differs)")
    health.proved(2)
    assert (health.serves, health.version, health.reason) == (True, 2, "")


def test_the_dead_stay_dead_until_started_anew() -> None:
    health = ReplicaHealth()
    health.proved(1)
    health.died("its process is gone")
    health.proved(2)
    health.unproved("too late")
    assert (health.dead, health.version, health.reason) == (True, 1, "its process is gone")
    health.starting()
    assert (health.state, health.serves, health.version) == (ReplicaState.STARTING, False, None)
