"""The group buffer: which groups may be in the making, and which are trained on next. A pure state machine.

It owns no tasks, actors or clocks. There are `(max_lag + 1) * prompts_per_step` slots:

    open() ──► MAKING ──finish()──► DONE ──take()──► TAKEN ──advance()──► free
                  └──────────release()──────┴──────────────────────────► free

1. A slot is only opened at the newest version ("born fresh"), and is free again once its group was trained on
   (`advance`) or was given up for whatever reason (`release`): filtered, failed and cancelled slots come back alike.
2. No group is taken more than `max_lag` versions after its birth, and none is ever thrown away for its age: `take`
   leaves at most `j * prompts_per_step` groups that the `j` next steps must train on. Since it prefers the oldest,
   that is always possible once every slot is done, so `take` never deadlocks.

With `max_lag = 0` that is: open all, wait for all, train, advance. With 1, the slots of a step's groups are being
filled again while the next step trains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

G = TypeVar("G")


@dataclass(slots=True)
class _Slot(Generic[G]):
    born: int
    group: G | None = None
    taken: bool = False


class GroupBuffer(Generic[G]):
    """See the module. A ticket is the number of one opened slot, and is never used twice."""

    def __init__(self, *, prompts_per_step: int, max_lag: int, version: int = 0) -> None:
        self.prompts_per_step = prompts_per_step
        self.max_lag = max_lag
        self.version = version
        self._slots: dict[int, _Slot[G]] = {}
        self._next_ticket = 0

    @property
    def free(self) -> int:
        """Slots that may be opened now."""
        return (self.max_lag + 1) * self.prompts_per_step - len(self._slots)

    @property
    def tickets(self) -> frozenset[int]:
        """Slots in use."""
        return frozenset(self._slots)

    @property
    def making(self) -> int:
        """Groups that are being sampled or judged."""
        return sum(slot.group is None for slot in self._slots.values())

    @property
    def done(self) -> int:
        """Finished groups that wait to be trained on."""
        return sum(slot.group is not None and not slot.taken for slot in self._slots.values())

    def open(self) -> int:
        """Start a group at the newest version; returns its ticket.

        Raises:
            LookupError: every slot is in use.
        """
        if not self.free:
            raise LookupError("no free slot")
        ticket, self._next_ticket = self._next_ticket, self._next_ticket + 1
        self._slots[ticket] = _Slot(self.version)
        return ticket

    def finish(self, ticket: int, group: G) -> None:
        """The group of this slot is complete."""
        self._slots[ticket].group = group

    def release(self, ticket: int) -> None:
        """The group of this slot is given up: filtered, failed or cancelled."""
        if not self._slots[ticket].taken:
            del self._slots[ticket]

    def take(self) -> list[G] | None:
        """The groups of the next step, oldest first; None as long as they are not all there.

        The slots stay in use until `advance`.
        """
        waiting = sorted((slot.born, ticket) for ticket, slot in self._slots.items() if not slot.taken)
        chosen = [key for key in waiting if self._slots[key[1]].group is not None][: self.prompts_per_step]
        if len(chosen) < self.prompts_per_step:
            return None
        left = sorted(set(waiting) - set(chosen))
        for place, (born, _) in enumerate(left):
            steps_until_trained = 1 + place // self.prompts_per_step
            if self.version + steps_until_trained - born > self.max_lag:
                return None
        taken = [self._slots[ticket] for _, ticket in chosen]
        for slot in taken:
            slot.taken = True
        return [slot.group for slot in taken if slot.group is not None]

    def advance(self, version: int) -> None:
        """The taken groups were trained on, and the policy is now `version`: their slots are free."""
        self.version = version
        self._slots = {ticket: slot for ticket, slot in self._slots.items() if not slot.taken}
