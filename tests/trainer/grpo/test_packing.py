"""The packing's plan: every completion once, under the budget, and prompts only as often as needed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainer.grpo.packing import WIDEST_ROW, Packable, fill, plan, row_length

GROUPS = st.lists(st.tuples(st.integers(1, 60), st.lists(st.integers(1, 90), min_size=1, max_size=9)), max_size=8)


def packables(groups) -> list[Packable]:
    numbered = [(p, start, start + n) for p, (start, lengths) in enumerate(groups) for n in lengths]
    return [Packable(index, *fields) for index, fields in enumerate(numbered)]


@given(GROUPS, st.integers(1, 1200), st.booleans())
def test_every_completion_is_packed_once_and_the_budget_kept(groups, budget, share):
    sequences = packables(groups)
    batches = plan(sequences, budget, share=share)
    packed = [one for batch in batches for row in batch for block in row for one in block.sequences]
    assert sorted(one.index for one in packed) == list(range(len(sequences)))
    longest = max((one.length for one in sequences), default=0)
    for batch in batches:
        width = max(map(row_length, batch))
        assert width == row_length(batch[0]) <= max(longest, min(budget, WIDEST_ROW))
        assert len(batch) == 1 or len(batch) * width <= budget
        assert all(len({one.prompt for one in block.sequences}) == 1 for row in batch for block in row)


def test_a_group_is_one_block_behind_one_prompt():
    ((row,),) = plan(packables([(10, [5, 3, 8])]), 1000)
    assert row_length(row) == 10 + 16
    assert len(plan(packables([(10, [5, 3, 8])]), 1000, share=False)[0]) == 3


def test_positions_sources_and_targets_line_up():
    sequences = [Packable(0, 0, 3, 5), Packable(1, 0, 3, 6), Packable(2, 1, 1, 2)]
    tokens = np.array([[1, 2, 3, 10, 11, 0], [1, 2, 3, 20, 21, 22], [9, 30, 0, 0, 0, 0]])
    (batch,) = plan(sequences, 64)
    rows = fill(batch, tokens)
    assert rows.tokens_R_W.tolist() == [[1, 2, 3, 20, 21, 22, 10, 11], [9, 30, 0, 0, 0, 0, 0, 0]]
    assert rows.positions_R_W.tolist() == [[0, 1, 2, 3, 4, 5, 3, 4], [0, 1, 0, 0, 0, 0, 0, 0]]
    assert rows.parts_R_W.tolist() == [[0, 0, 0, 1, 1, 1, 2, 2], [0, 1, 0, 0, 0, 0, 0, 0]]
    assert rows.sources_N.tolist() == [2, 3, 4, 2, 6, 8]
    assert rows.targets_N.tolist() == [20, 21, 22, 10, 11, 30]
    assert rows.sequences_N.tolist() == [0, 0, 0, 1, 1, 2]
    assert rows.indices_S.tolist() == [1, 0, 2]
