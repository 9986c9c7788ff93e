"""Batches depend on seed and step alone, read everything once an epoch, and keep documents whole where asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.corpus.errors import TokenFileError
from trainer.corpus.token_file import TokenView
from trainer.corpus.windows import PADDING, DocumentWindows, MixtureSampler, StreamWindows, pack

CONTEXT = 16


def stream(length: int) -> TokenView:
    """Distinct ids, so that a window tells where it was cut."""
    return TokenView(np.arange(100, 100 + length, dtype=np.uint16))


def documents(lengths: list[int]) -> TokenView:
    """Documents of the given lengths; all tokens of document d are 10 + d, the last is end-of-text."""
    return TokenView(np.concatenate([[10 + d] * (n - 1) + [0] for d, n in enumerate(lengths)]).astype(np.uint16))


def sampler(seed: int = 3) -> MixtureSampler:
    lengths = np.random.default_rng(0).integers(2, CONTEXT, 100).tolist()
    sources = [(StreamWindows(stream(5000), CONTEXT, 1), 0.75), (DocumentWindows(documents(lengths), CONTEXT, 2), 0.25)]
    return MixtureSampler(sources, seed, batch_size=8)


def test_a_new_sampler_gives_the_same_batch_for_a_step_whatever_came_before() -> None:
    running = sampler()
    batches = [running.batch(step) for step in range(300)]
    for step in (299, 0, 137):
        assert np.array_equal(sampler().batch(step), batches[step])
    assert batches[0].shape == (8, CONTEXT + 1)
    assert batches[0].dtype == np.int64
    assert not np.array_equal(batches[0], batches[1])
    assert not np.array_equal(sampler(seed=4).batch(0), batches[0])


def test_every_batch_holds_each_source_in_its_share() -> None:
    for step in range(50):
        from_documents = (sampler().batch(step)[:, 0] < 10 + 100).sum() - (sampler().batch(step)[:, 0] == 0).sum()
        assert from_documents in (1, 2, 3)


def test_an_epoch_of_the_stream_reads_each_token_once_and_the_next_is_cut_elsewhere() -> None:
    windows = StreamWindows(stream(1000), CONTEXT, seed=0)
    count = 1000 // CONTEXT - 1
    epochs = [windows.rows(np.arange(count) + number * count) for number in range(8)]
    for epoch in epochs:
        inputs = np.sort(epoch[:, :-1].ravel())
        assert np.array_equal(np.diff(inputs), np.ones(len(inputs) - 1))
        assert (np.diff(epoch, axis=1) == 1).all()
    assert len({epoch[:, 0].min() for epoch in epochs}) > 3
    assert len({tuple(np.argsort(epoch[:, 0])) for epoch in epochs}) == 8


@pytest.mark.parametrize("length", [CONTEXT + 1, CONTEXT + 2, 2 * CONTEXT, 3 * CONTEXT + 1])
def test_short_streams_stay_inside(length: int) -> None:
    rows = StreamWindows(stream(length), CONTEXT, seed=0).rows(np.arange(200))
    assert rows.shape == (200, CONTEXT + 1)
    assert rows.max() < 100 + length


def test_no_window_is_said_so() -> None:
    with pytest.raises(TokenFileError, match="16 tokens are fewer than one window of 17"):
        StreamWindows(stream(CONTEXT), CONTEXT, seed=0)
    with pytest.raises(TokenFileError, match="no documents"):
        DocumentWindows(TokenView(np.zeros(0, np.uint16)), CONTEXT, seed=0)


def test_document_windows_begin_with_a_document_and_hold_whole_ones() -> None:
    lengths = np.random.default_rng(1).integers(2, CONTEXT + 2, 200).tolist()
    windows = DocumentWindows(documents(lengths), CONTEXT, seed=0)
    assert windows.fill > 0.95
    rows = windows.rows(np.arange(sum(lengths)))
    seen: dict[int, int] = {}
    for row in rows:
        text = row[row != PADDING]
        assert (row[len(text) :] == PADDING).all()
        assert text[-1] == 0
        for document in np.split(text, np.flatnonzero(text == 0) + 1)[:-1]:
            number = int(document[0]) - 10
            assert len(document) == lengths[number]
            seen[number] = seen.get(number, 0) + 1
    assert set(seen) == set(range(200))
    assert max(seen.values()) - min(seen.values()) <= 1


def test_a_document_longer_than_a_window_keeps_its_beginning() -> None:
    (row,) = DocumentWindows(documents([50]), CONTEXT, seed=0).rows(np.array([0]))
    assert row.tolist() == [10] * (CONTEXT + 1)


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=60))
def test_packing_loses_nothing_and_overfills_nothing(lengths: list[int]) -> None:
    packed = pack(np.array(lengths), np.arange(len(lengths)), 20)
    assert sorted(document for window in packed for document in window) == list(range(len(lengths)))
    assert all(sum(lengths[document] for document in window) <= 20 for window in packed)
    # At most one window can be half empty or less: two such would have been one.
    assert sum(sum(lengths[document] for document in window) <= 10 for window in packed) <= 1


def test_wrong_mixtures_are_refused() -> None:
    windows = StreamWindows(stream(500), CONTEXT, 0)
    for sources in ([], [(windows, 0.0)], [(windows, 1.0), (StreamWindows(stream(500), 8, 0), 1.0)]):
        with pytest.raises(ValueError, match="mixture"):
            MixtureSampler(sources, 0, 4)
