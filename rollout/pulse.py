"""For how long an engine has given no sign of life, and in which way. Pure: it asks nobody, and reads no clock.

To answer is a sign of life where there is nothing to do. An engine with requests must also have sampled since it was
asked last: one that answers and samples nothing hangs whoever waits for it, just like one that doesn't answer.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pulse:
    """`since`: the last sign of life, in seconds of a clock that only goes forward."""

    since: float
    _sampled: int = -1
    _answered: bool = False

    def answered(self, now: float, sampled: int, busy: bool) -> None:
        """The engine said how many tokens it has `sampled` so far; `busy`: it has requests."""
        self._answered = busy and sampled == self._sampled
        if not self._answered:
            self.since = now
        self._sampled = sampled

    def excused(self, now: float) -> None:
        """Nothing can be expected of it just now: its weights are replaced."""
        self.since, self._answered = now, False

    def lack(self, now: float) -> str:
        """What is missing, in words."""
        what = "its requests make no progress" if self._answered else "no sign of life"
        return f"{what} for {now - self.since:.0f} s"
