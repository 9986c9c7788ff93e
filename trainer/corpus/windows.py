"""Batches of training windows, each a pure function of (seed, step): to resume, only the step number is needed.

Every source cuts its tokens into W windows an epoch and serves them in an order shuffled anew each epoch. Row r of a
run (r = step x batch size + place in the batch) reads window r mod W of epoch r div W. No state, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.corpus.errors import TokenFileError
from trainer.corpus.infill import SLACK, Infill
from trainer.corpus.token_file import TokenView
from trainer.corpus.tokenizer import END_OF_TEXT_ID

PADDING = -100
"""No token: targets that hold it are not counted. A padding token would do only for tokenizers that have one, and many
take end-of-text for it, which must be learnt."""


class Windows(Protocol):
    """A source of windows of `context + 1` tokens: inputs are all but the last, targets all but the first."""

    context: int

    def rows(self, ordinals: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, context + 1) windows for n row numbers."""
        ...


class StreamWindows:
    """Windows at any place of the stream, for corpora much larger than a run. An epoch reads nearly every token once;
    each starts at another offset, so that windows don't keep their edges."""

    def __init__(self, tokens: TokenView, context: int, seed: int, infill: Infill | None = None) -> None:
        """Raises `TokenFileError` if there isn't even one window."""
        self.context, self._infill = context, infill
        self._ids, self._seed = tokens.ids, seed
        # One window less than fits leaves room for every offset.
        self._count = max(1, (len(tokens) - 1) // context - 1)
        self._slack = min(context, len(tokens) - 1 - self._count * context + 1)
        if self._slack < 1:
            raise TokenFileError(
                f"{len(tokens)} tokens are fewer than one window of {context + 1}. Add sources or shorten the context."
            )

    def rows(self, ordinals: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, context + 1) windows for n row numbers."""
        epochs, places = np.divmod(ordinals, self._count)
        starts = [
            _offset(self._seed, int(epoch), self._slack)
            + self.context * _shuffled(self._seed, int(epoch), self._count)[place]
            for epoch, place in zip(epochs, places, strict=True)
        ]
        rows = [self._ids[start : start + self.context + 1].astype(np.int64) for start in starts]
        if self._infill is not None:
            rows = [
                _with_gaps(row, self._infill, int(epoch), int(start))
                for row, epoch, start in zip(rows, epochs, starts, strict=True)
            ]
        return np.stack(rows)


class DocumentWindows:
    """Windows that hold whole documents, each window beginning with one; the room that is left is padding.

    The loss must leave out targets that are PADDING. A document longer than a window is cut to its beginning.
    Each epoch reads every document once; of those that `infill` chooses, each epoch cuts another gap.
    """

    def __init__(self, tokens: TokenView, context: int, seed: int, infill: Infill | None = None) -> None:
        """Raises `TokenFileError` if there is no document."""
        self.context, self._infill = context, infill
        self._ids, self._seed, self._bounds = tokens.ids, seed, tokens.document_bounds
        lengths = np.minimum(np.diff(self._bounds), context + 1)
        if not len(lengths):
            raise TokenFileError("no documents to make windows of. Add sources.")
        order = np.random.default_rng([seed, 0]).permutation(len(lengths))
        if infill is not None:
            # Room for the gap is set aside, so that the windows of every epoch hold the same documents.
            lengths = lengths + SLACK * self._with_room(infill, lengths)
        self._packed = pack(lengths, order, context + 1)

    @property
    def fill(self) -> float:
        """Share of the windows' tokens that isn't padding."""
        used = np.minimum(np.diff(self._bounds), self.context + 1).sum()
        return float(used / (len(self._packed) * (self.context + 1)))

    def rows(self, ordinals: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, context + 1) windows for n row numbers."""
        width = self.context + 1
        windows = np.full((len(ordinals), width), PADDING, np.int64)
        for window, ordinal in zip(windows, ordinals, strict=True):
            epoch, place = divmod(int(ordinal), len(self._packed))
            cursor = 0
            for document in self._packed[_shuffled(self._seed, epoch, len(self._packed))[place]]:
                ids = self._document(document, epoch)[: width - cursor]
                window[cursor : cursor + len(ids)] = ids
                cursor += len(ids)
        return windows

    def _with_room(self, infill: Infill, lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(D,) whether a document is to have gaps, and fits a window with one."""
        chosen = np.array([infill.chooses(document) for document in range(len(lengths))])
        return chosen & (lengths + SLACK <= self.context + 1)

    def _document(self, document: int, epoch: int) -> Sequence[int] | NDArray[np.unsignedinteger]:
        ids = self._ids[self._bounds[document] : self._bounds[document + 1]]
        if self._infill is None or len(ids) + SLACK > self.context + 1 or not self._infill.chooses(document):
            return ids
        return self._infill.rearranged(ids.tolist(), epoch, document) or ids


@dataclass(frozen=True)
class MixtureSampler:
    """Batches whose rows come from several sources, in the proportion of their weights.

    Within each batch a source's share of the rows is its weight to within one row. Two samplers with equal arguments
    give equal batches for a step, in any order of asking.
    """

    sources: Sequence[tuple[Windows, float]]
    seed: int
    batch_size: int
    _edges: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises `ValueError` for no sources, a weight that isn't positive, or contexts that differ."""
        weights = np.array([weight for _, weight in self.sources], np.float64)
        if not len(weights) or (weights <= 0).any():
            raise ValueError("a mixture needs at least one source, and every weight above 0")
        if len({windows.context for windows, _ in self.sources}) > 1:
            raise ValueError("all sources of a mixture must have the same context")
        object.__setattr__(self, "_edges", np.cumsum(weights) / weights.sum())

    def batch(self, step: int) -> NDArray[np.int64]:
        """(batch_size, context + 1) token ids of step `step`, counted from 0."""
        rng = np.random.default_rng([self.seed, step])
        # One draw, then even strides: each source gets its share of every batch, not only of the average one.
        points = (rng.random() + np.arange(self.batch_size)) / self.batch_size
        chosen = rng.permutation(np.searchsorted(self._edges, points, side="right").clip(max=len(self.sources) - 1))
        ordinals = step * self.batch_size + np.arange(self.batch_size)
        batch = np.empty((self.batch_size, self.sources[0][0].context + 1), np.int64)
        for index, (windows, _) in enumerate(self.sources):
            mine = chosen == index
            if mine.any():
                batch[mine] = windows.rows(ordinals[mine])
        return batch


def pack(lengths: NDArray[np.int64], order: NDArray[np.int64], capacity: int) -> list[list[int]]:
    """Puts documents into windows of `capacity` tokens, longest first into the fullest window with room (best fit
    decreasing); equal lengths keep `order`, so neighbours in a window are chance. No length may exceed the capacity."""
    by_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    windows: list[list[int]] = []
    for document in order[np.argsort(-lengths[order], kind="stable")]:
        length = int(lengths[document])
        room = next((room for room in range(length, capacity + 1) if by_room[room]), None)
        if room is None:
            window, room = len(windows), capacity
            windows.append([])
        else:
            window = by_room[room].pop()
        windows[window].append(int(document))
        by_room[room - length].append(window)
    return windows


def _with_gaps(row_T: NDArray[np.int64], infill: Infill, epoch: int, start: int) -> NDArray[np.int64]:
    """The window at `start` with the documents that `infill` chooses rearranged, each from what the window holds of it.

    What no longer fits falls off at the end, and what a shortened last document leaves is padding.
    """
    window: list[int] = []
    ends = [*(np.flatnonzero(row_T == END_OF_TEXT_ID) + 1).tolist(), len(row_T)]
    begin = 0
    for end in ends:
        room = len(row_T) - len(window)
        piece = row_T[begin:end].tolist()
        place = (epoch, start + begin)
        if infill.chooses(*place):
            # Shortened before it is cut: a gap whose filling fell off the window would teach nothing.
            piece = infill.rearranged(piece[: max(0, room - SLACK)], *place) or piece
        window += piece[:room]
        begin = end
    return np.array(window + [PADDING] * (len(row_T) - len(window)), np.int64)


@lru_cache(maxsize=16)
def _shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 1, epoch]).permutation(count)


def _offset(seed: int, epoch: int, slack: int) -> int:
    return int(np.random.default_rng([seed, 2, epoch]).integers(slack))
