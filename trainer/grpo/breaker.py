"""The circuit breaker: stops a run, loudly, when our own faults and not the model's decide what is trained on. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from reward_farm.verdict import InfraFault, Verdict
from trainer.grpo.errors import TooManyFaults

WINDOW = 256
"""Verdicts looked at: a few steps' worth, so that one bad minute counts and last hour's does not."""

SMALLEST_SAMPLE = 32
"""Below it a share says nothing."""


class FaultBreaker:
    """Remembers the last verdicts."""

    def __init__(self, max_share: float) -> None:
        self._max_share = max_share
        self._reasons: deque[str | None] = deque(maxlen=WINDOW)

    def record(self, verdicts: Iterable[Verdict]) -> None:
        """Count verdicts.

        Raises:
            TooManyFaults: more than `max_share` of the recent ones were faults of ours.
        """
        self._reasons.extend(v.reason if isinstance(v, InfraFault) else None for v in verdicts)
        faults = Counter(reason for reason in self._reasons if reason is not None)
        if len(self._reasons) >= SMALLEST_SAMPLE and faults.total() > self._max_share * len(self._reasons):
            worst = "; ".join(f"{count} times: {reason}" for reason, count in faults.most_common(3))
            raise TooManyFaults(
                f"{faults.total()} of the last {len(self._reasons)} completions could not be judged, through no fault "
                f"of the model ({worst}). Training stopped. Mend the cause and run the same command again: it goes on "
                "from the last checkpoint."
            )
