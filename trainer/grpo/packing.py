"""Shared-prefix packing: siblings follow their one prompt in a row, and several groups share a row.

    row    [ prompt A | a1 | a2 | a3 | prompt B | b1 | b2 | padding ]
    block    0 0 0 0    0 0  0 0  0    1 1 1 1    1 1  1 1  2
    part     0 0 0 0    1 1  2 2  3    0 0 0 0    1 1  2 2  0
    position 0 1 2 3    4 5  4 5  4    0 1 2 3    4 5  4 5  0

A token attends to the earlier tokens of its block that are the prompt's or its own completion's: what it computes is
what it would compute alone behind its prompt, and the prompt is computed once. Pure numpy; knows no torch and no Ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

WIDEST_ROW = 1024
"""Tokens of a packed row, unless one completion needs more. Masked attention computes every pair of a row: past some
width it costs more than the prompts that are saved, and the mask's memory grows with the square."""


@dataclass(frozen=True, slots=True)
class Packable:
    """One completion to be packed: its place in the step's columns, its prompt's number, and where its tokens lie."""

    index: int
    prompt: int
    start: int
    length: int

    @property
    def completion(self) -> int:
        """Completion tokens."""
        return self.length - self.start


@dataclass(frozen=True, slots=True)
class Block:
    """Completions behind their one prompt."""

    sequences: tuple[Packable, ...]

    @property
    def length(self) -> int:
        """Tokens, the prompt's once."""
        return self.sequences[0].start + sum(sequence.completion for sequence in self.sequences)


PackedRow = tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class PackedRows:
    """R rows of W tokens, of which N are completion tokens of S completions.

    `sources_N` are the places, in the flattened rows, whose output predicts `targets_N`; `sequences_N` says which of
    the S completions a target belongs to, and `indices_S` where those are in the step's columns.
    """

    tokens_R_W: Ints
    positions_R_W: Ints
    blocks_R_W: Ints
    parts_R_W: Ints
    sources_N: Ints
    targets_N: Ints
    sequences_N: Ints
    indices_S: Ints


def plan(sequences: Sequence[Packable], token_budget: int, *, share: bool = True) -> list[list[PackedRow]]:
    """Micro-batches of packed rows: a row holds whole completions, a micro-batch fits `token_budget` with padding.

    A completion that is longer than the budget is a micro-batch of its own. Without `share` every completion has a row
    to itself, for models that can't look past a sibling.
    """
    if not sequences:
        return []
    blocks = _blocks(sequences, token_budget) if share else [Block((sequence,)) for sequence in sequences]
    blocks.sort(key=lambda block: -block.length)
    rows: list[PackedRow] = _first_fit(blocks, blocks[0].length) if share else [(block,) for block in blocks]
    rows.sort(key=lambda row: -row_length(row))
    batches: list[list[PackedRow]] = []
    for row in rows:
        if batches and (len(batches[-1]) + 1) * row_length(batches[-1][0]) <= token_budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def row_length(row: PackedRow) -> int:
    """Tokens of a row, without padding."""
    return sum(block.length for block in row)


def _blocks(sequences: Sequence[Packable], token_budget: int) -> list[Block]:
    widest = max(min(token_budget, WIDEST_ROW), max(sequence.length for sequence in sequences))
    siblings: dict[int, list[Packable]] = {}
    for sequence in sequences:
        siblings.setdefault(sequence.prompt, []).append(sequence)
    blocks = []
    for family in siblings.values():
        block: tuple[Packable, ...] = ()
        for sequence in sorted(family, key=lambda one: -one.completion):
            if block and Block(block).length + sequence.completion > widest:
                blocks.append(Block(block))
                block = ()
            block += (sequence,)
        blocks.append(Block(block))
    return blocks


def _first_fit(blocks: Sequence[Block], width: int) -> list[PackedRow]:
    """First-fit decreasing: at most 11/9 of the fewest rows (Johnson 1973)."""
    rows: list[list[Block]] = []
    left: list[int] = []
    for block in blocks:
        place = next((i for i, room in enumerate(left) if block.length <= room), None)
        if place is None:
            rows.append([])
            left.append(width)
            place = len(rows) - 1
        rows[place].append(block)
        left[place] -= block.length
    return [tuple(row) for row in rows]


def fill(rows: Sequence[PackedRow], tokens_B_T: NDArray[np.integer]) -> PackedRows:
    """The arrays of a micro-batch; `tokens_B_T` are the step's tokens, one completion with its prompt a row."""
    shape = (len(rows), max(map(row_length, rows)))
    tokens, positions, blocks, parts = (np.zeros(shape, np.int64) for _ in range(4))
    sources: list[Ints] = []
    targets: list[Ints] = []
    indices: list[int] = []
    for r, row in enumerate(rows):
        at = 0
        for b, block in enumerate(row):
            start, first = block.sequences[0].start, at
            tokens[r, at : at + start] = tokens_B_T[block.sequences[0].index, :start]
            positions[r, at : at + start] = np.arange(start)
            blocks[r, at : at + block.length] = b
            at += start
            for part, one in enumerate(block.sequences, 1):
                end = at + one.completion
                tokens[r, at:end] = tokens_B_T[one.index, start : one.length]
                positions[r, at:end] = np.arange(start, one.length)
                parts[r, at:end] = part
                before = np.arange(at - 1, end - 1)
                before[0] = first + start - 1
                sources.append(r * shape[1] + before)
                targets.append(tokens[r, at:end])
                indices.append(one.index)
                at = end
        blocks[r, at:] = len(row)
    return PackedRows(
        tokens, positions, blocks, parts,
        sources_N=np.concatenate(sources),
        targets_N=np.concatenate(targets),
        sequences_N=np.repeat(np.arange(len(indices)), [len(part) for part in targets]),
        indices_S=np.array(indices, np.int64),
    )  # fmt: skip
