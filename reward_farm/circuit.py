"""The farm's circuit breaker: while most verdicts are faults of ours, nothing more is taken on. Pure.

closed ──share of faults in the window too high──► open ──after a while──► half open: one admission as a trial
   ▲                                                ▲                           │
   └──────────────── a verdict ─────────────────────┼───────────────────────────┤
                                                    └────────── a fault ────────┘
"""

from __future__ import annotations

from collections import Counter, deque

WINDOW = 64
"""Verdicts looked at, so that one bad minute counts and last hour's does not."""
SMALLEST_SAMPLE = 16
"""Below it a share says nothing; a batch that meets one fault has as many."""


class CircuitBreaker:
    """Counts final verdicts. Times are seconds on any one clock."""

    def __init__(self, max_share: float, pause_seconds: float) -> None:
        self._max_share, self._pause = max_share, pause_seconds
        self._recent: deque[str | None] = deque(maxlen=WINDOW)
        self._until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it refuses work, but for trials."""
        return self._until is not None

    def wait(self, now: float) -> float:
        """Seconds until an admission may be tried; 0 admits one, which is the trial if the breaker is open."""
        if self._until is None:
            return 0.0
        if now < self._until:
            return self._until - now
        self._until = now + self._pause  # a trial whose caller gives up must not keep it open for ever
        return 0.0

    def record(self, fault: str | None, now: float) -> bool:
        """A final verdict came, or the reason why none could be given. True if that opens the breaker."""
        self._recent.append(fault)
        if fault is None:
            if self._until is not None:
                self._recent.clear()
                self._until = None
            return False
        faults = sum(reason is not None for reason in self._recent)
        was_open = self._until is not None
        if was_open or (len(self._recent) >= SMALLEST_SAMPLE and faults > self._max_share * len(self._recent)):
            self._until = now + self._pause
        return self.is_open and not was_open

    @property
    def reasons(self) -> str:
        """The faults of the window, commonest first."""
        counted = Counter(reason for reason in self._recent if reason is not None)
        said = "; ".join(f"{count} times: {reason[:200]}" for reason, count in counted.most_common(2))
        return f"{counted.total()} of the last {len(self._recent)} verdicts were faults of the farm ({said})"
