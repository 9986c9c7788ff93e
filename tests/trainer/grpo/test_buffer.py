"""The group buffer: what it does step by step, and what it never does whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from trainer.grpo.buffer import GroupBuffer


def fill(buffer: GroupBuffer[int]) -> list[int]:
    return [buffer.open() for _ in range(buffer.free)]


def test_without_lag_a_step_is_all_groups_of_its_own_version():
    buffer: GroupBuffer[int] = GroupBuffer(prompts_per_step=2, max_lag=0)
    first, second = fill(buffer)
    buffer.finish(second, 20)
    assert buffer.take() is None
    buffer.finish(first, 10)
    assert buffer.take() == [10, 20]
    assert buffer.free == 0, "slots are free only when the next policy is served"
    with pytest.raises(LookupError):
        buffer.open()
    buffer.advance(1)
    assert buffer.free == 2


def test_with_lag_the_oldest_are_trained_on_before_they_are_too_old():
    buffer: GroupBuffer[str] = GroupBuffer(prompts_per_step=1, max_lag=1)
    old, new = fill(buffer)
    buffer.finish(new, "new")
    assert buffer.take() == ["new"], "the other may still be one version old at the next step"
    buffer.advance(1)
    newer = buffer.open()
    buffer.finish(newer, "newer")
    assert buffer.take() is None, "the oldest would be two versions old by then"
    buffer.finish(old, "old")
    assert buffer.take() == ["old"]


def test_a_released_slot_is_born_again_at_the_newest_version():
    buffer: GroupBuffer[str] = GroupBuffer(prompts_per_step=1, max_lag=1)
    old, new = fill(buffer)
    buffer.finish(new, "new")
    buffer.take()
    buffer.advance(1)
    buffer.release(old)
    for ticket in fill(buffer):
        buffer.finish(ticket, f"born at {buffer.version}")
    assert buffer.take() == ["born at 1"]


@given(st.integers(1, 4), st.integers(0, 3))
def test_a_full_buffer_of_finished_groups_can_always_be_taken(prompts, lag):
    buffer: GroupBuffer[int] = GroupBuffer(prompts_per_step=prompts, max_lag=lag)
    for version in range(1, 12):
        for ticket in fill(buffer):
            buffer.finish(ticket, buffer.version)
        assert buffer.take() is not None
        buffer.advance(version)


class BufferMachine(RuleBasedStateMachine):
    """Any order of opening, finishing, giving up and training."""

    making = Bundle("making")

    def __init__(self) -> None:
        super().__init__()
        self.prompts, self.lag = 2, 2
        self.buffer: GroupBuffer[int] = GroupBuffer(prompts_per_step=self.prompts, max_lag=self.lag)
        self.live: set[int] = set()
        self.taken = 0

    @precondition(lambda self: self.buffer.free)
    @rule(target=making)
    def open(self) -> tuple[int, int]:
        ticket = self.buffer.open()
        assert ticket not in self.live
        self.live.add(ticket)
        return ticket, self.buffer.version

    @rule(slot=consumes(making))
    def finish(self, slot: tuple[int, int]) -> None:
        self.buffer.finish(slot[0], slot[1])

    @rule(slot=consumes(making))
    def release(self, slot: tuple[int, int]) -> None:
        free = self.buffer.free
        self.buffer.release(slot[0])
        self.live.remove(slot[0])
        assert self.buffer.free == free + 1

    @rule()
    def train(self) -> None:
        births = self.buffer.take()
        if births is not None:
            assert len(births) == self.prompts
            assert all(0 <= self.buffer.version - born <= self.lag for born in births), "no group is too old"
            free = self.buffer.free
            self.buffer.advance(self.buffer.version + 1)
            assert self.buffer.free == free + self.prompts, "every trained slot is free"
            self.live &= self.buffer.tickets

    @invariant()
    def slots_are_bounded_and_accounted_for(self) -> None:
        assert self.live == self.buffer.tickets
        assert len(self.live) + self.buffer.free == (self.lag + 1) * self.prompts
        assert self.buffer.making + self.buffer.done == len(self.live)

    def teardown(self) -> None:
        """Whatever happened, finishing everything lets the run go on."""
        for _ in range(self.lag + 2):
            for ticket in fill(self.buffer):
                self.live.add(ticket)
            for ticket in list(self.buffer.tickets):
                if self.buffer._slots[ticket].group is None:
                    self.buffer.finish(ticket, self.buffer._slots[ticket].born)
            births = self.buffer.take()
            assert births is not None
            assert all(self.buffer.version - born <= self.lag for born in births)
            self.buffer.advance(self.buffer.version + 1)


TestBufferMachine = BufferMachine.TestCase
