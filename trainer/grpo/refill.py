"""Dynamic sampling: groups that teach nothing are given up, others are sampled in their place. A pure state machine.

DAPO (Yu et al. 2025, arXiv 2503.14476) samples until a step is full of groups whose rewards differ. Here a step gives
up at most `limit` groups, which bounds what it may cost; those beyond are kept, and train nothing.

The order in which groups end must not decide which are kept, or a synchronous run could not be repeated. Indices are
handed out in order and each given-up group costs the next one, so a synchronous step samples the same groups whatever
ends first; of those that teach nothing, the last by index are kept.
"""

from __future__ import annotations

from trainer.grpo.group import Group


class Refill:
    """One step's account; `reset` begins the next."""

    def __init__(self, limit: int, *, exact: bool) -> None:
        """`exact`: groups of a step are all sampled by one policy version, so any of them may be kept for another."""
        self._limit, self._exact = limit, exact
        self.given_up: list[Group] = []

    def offer(self, group: Group) -> Group | None:
        """Take in a group that teaches nothing; returns the group to keep in its slot, or None to free the slot."""
        if not self._limit:
            return group
        if len(self.given_up) < self._limit:
            self.given_up.append(group)
            return None
        if not self._exact:
            return group
        kept = max([*self.given_up, group], key=lambda one: one.index)
        self.given_up = [one for one in [*self.given_up, group] if one is not kept]
        return kept

    def reset(self) -> None:
        """The step was trained."""
        self.given_up = []
