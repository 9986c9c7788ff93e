"""Whether a replica may be given prompts, and whether it may be started again. A pure state machine; it owns no actor.

                      proved                    quiet
    RESTARTING ─────────────────► HEALTHY ◄──────────────► SUSPECT        any living state ──died──► DEAD
        │  ▲                       │  ▲         heard         │
        │  └────restarting─────┐   │  └──proved──┐            │           RETIRED: the budget of restarts is used up;
        └──unproved──────────► │   └──unproved─► STALE ◄──────┘           nothing leads out of it
                              DEAD ──restarting, over budget──► RETIRED

Invariants: `serves` is true only while the last thing known of the replica is a proof of its weights and a sign of
life; whoever listens is told of every change of state, once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class ReplicaState(StrEnum):
    """What is known of a replica."""

    RESTARTING = "restarting"
    """A new actor and engine come up, for the first time too."""
    HEALTHY = "healthy"
    """It proved its weights."""
    SUSPECT = "suspect"
    """It proved its weights and gives no sign of life: it gets no new prompt, and keeps those that it has."""
    STALE = "stale"
    """It is alive, but did not prove the newest weights."""
    DEAD = "dead"
    RETIRED = "retired"
    """It died too often: it is not started again."""


@dataclass(frozen=True, slots=True)
class RestartBudget:
    """At most `restarts` in any `window_seconds`: what dies at once whenever it is started must not go on for ever."""

    restarts: int = 3
    window_seconds: float = 600.0

    def __str__(self) -> str:
        return f"{self.restarts} restarts in {self.window_seconds:g} s"


@dataclass(slots=True)
class ReplicaHealth:
    """State of one replica, the policy version that it proved last, and why it doesn't serve.

    Times are seconds of a clock that only goes forward.
    """

    budget: RestartBudget = field(default_factory=RestartBudget)
    changed: Callable[[ReplicaState], None] = lambda _before: None
    """Told the state before, after each change."""
    state: ReplicaState = ReplicaState.RESTARTING
    version: int | None = None
    reason: str = ""
    restarts: int = 0
    _recent: deque[float] = field(default_factory=deque)

    @property
    def serves(self) -> bool:
        """It may be given prompts."""
        return self.state is ReplicaState.HEALTHY

    @property
    def works(self) -> bool:
        """It proved its weights: what it was given may still come back."""
        return self.state in (ReplicaState.HEALTHY, ReplicaState.SUSPECT)

    @property
    def dead(self) -> bool:
        """It has no actor."""
        return self.state in (ReplicaState.DEAD, ReplicaState.RETIRED)

    def restarting(self, now: float) -> bool:
        """A new actor may take the dead one's place; False, and RETIRED, where the budget is used up."""
        if self.state is not ReplicaState.DEAD:
            return False
        while self._recent and now - self._recent[0] > self.budget.window_seconds:
            self._recent.popleft()
        if len(self._recent) >= self.budget.restarts:
            self._to(ReplicaState.RETIRED, f"{self.budget} used up; the last: {self.reason}")
            return False
        self._recent.append(now)
        self.restarts += 1
        self.version = None
        self._to(ReplicaState.RESTARTING)
        return True

    def proved(self, version: int) -> None:
        """It holds exactly the weights of `version`. Without effect on a dead replica: the proof came too late."""
        if not self.dead:
            self.version = version
            self._to(ReplicaState.HEALTHY)

    def unproved(self, reason: str) -> None:
        """What it holds is not known. Without effect on a dead replica."""
        if not self.dead:
            self._to(ReplicaState.STALE, reason)

    def quiet(self, reason: str) -> None:
        """It should have given a sign of life. Without effect unless it serves."""
        if self.state is ReplicaState.HEALTHY:
            self._to(ReplicaState.SUSPECT, reason)

    def heard(self) -> None:
        """It gave a sign of life. What it had proved still holds."""
        if self.state is ReplicaState.SUSPECT:
            self._to(ReplicaState.HEALTHY)

    def died(self, reason: str) -> None:
        """Its actor or engine is gone."""
        if self.state is not ReplicaState.RETIRED:
            self._to(ReplicaState.DEAD, reason)

    def _to(self, state: ReplicaState, reason: str = "") -> None:
        before, self.state, self.reason = self.state, state, reason
        if state is not before:
            self.changed(before)

    def __str__(self) -> str:
        return f"{self.state} ({self.reason})" if self.reason else str(self.state)
