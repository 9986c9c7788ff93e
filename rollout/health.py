"""Whether a replica may be given prompts. A pure state machine; it owns no actor.

    STARTING ──proved──► HEALTHY ◄──proved── STALE
        │                   └────unproved─────►▲
        └──────unproved────────────────────────┘      any state ──died──► DEAD ──starting──► STARTING

Invariant: `serves` is true only while the last thing known of the replica is a proof of its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ReplicaState(StrEnum):
    """What is known of a replica."""

    STARTING = "starting"
    HEALTHY = "healthy"
    """It proved its weights."""
    STALE = "stale"
    """It is alive, but did not prove the weights of the last push."""
    DEAD = "dead"


@dataclass(slots=True)
class ReplicaHealth:
    """State of one replica, the policy version that it proved last, and why it doesn't serve."""

    state: ReplicaState = ReplicaState.STARTING
    version: int | None = None
    reason: str = ""

    @property
    def serves(self) -> bool:
        """It may be given prompts."""
        return self.state is ReplicaState.HEALTHY

    @property
    def dead(self) -> bool:
        """It needs a new actor."""
        return self.state is ReplicaState.DEAD

    def starting(self) -> None:
        """A new actor takes the place of the old one."""
        self.state, self.version, self.reason = ReplicaState.STARTING, None, ""

    def proved(self, version: int) -> None:
        """It holds exactly the weights of `version`. Without effect on a dead replica: the proof came too late."""
        if self.state is not ReplicaState.DEAD:
            self.state, self.version, self.reason = ReplicaState.HEALTHY, version, ""

    def unproved(self, reason: str) -> None:
        """What it holds is not known. Without effect on a dead replica."""
        if self.state is not ReplicaState.DEAD:
            self.state, self.reason = ReplicaState.STALE, reason

    def died(self, reason: str) -> None:
        """Its actor or engine is gone."""
        self.state, self.reason = ReplicaState.DEAD, reason

    def __str__(self) -> str:
        return f"{self.state} ({self.reason})" if self.reason else str(self.state)
