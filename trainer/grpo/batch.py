"""From judged groups to the learner's rows: advantages, token weights, padding, and which learner gets which row.

Pure numpy; knows no torch and no Ray. A row is one completion with its prompt. Only rows that can move the policy are
kept: a completion without a reward, or of a group whose rewards are all the same, has advantage 0. Siblings with the
same tokens are one row that counts as often: a policy that grows sure repeats itself, and once is enough to compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rollout.types import Completion, VersionSpan
from trainer.grpo.credit import credit
from trainer.grpo.group import Group
from trainer.grpo.settings import GrpoSettings

Columns = dict[str, NDArray[np.generic]]

TOKENS, TARGETS_START, LENGTH = "tokens", "targets_start", "length"
SAMPLER_LOGPROBS, ADVANTAGE, TOKEN_WEIGHT, COUNT = "sampler_logprobs", "advantage", "token_weight", "count"
PROMPT = "prompt"


@dataclass(frozen=True, slots=True)
class Row:
    """A completion that was sampled `count` times: `prompt_ids` then `token_ids`.

    `logprobs` are the sampler's, one a completion token.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    advantage: float
    count: int = 1

    @property
    def length(self) -> int:
        """Prompt and completion tokens."""
        return len(self.prompt_ids) + len(self.token_ids)


def rows_of(groups: Sequence[Group], settings: GrpoSettings) -> list[Row]:
    """The rows that carry a gradient (all that have a reward, if there is a KL term), siblings together.

    Siblings are one row only if the same policy versions sampled them: else their importance weights differ.
    """
    rows = []
    for group in groups:
        advantages_G, trained_G = credit(group, settings)
        repeats: dict[tuple[float, tuple[int, ...], tuple[VersionSpan, ...]], list[Completion]] = {}
        for sample, advantage, trained in zip(group.samples, advantages_G.tolist(), trained_G, strict=True):
            done = sample.completion
            if trained:
                repeats.setdefault((advantage, done.token_ids, done.versions), []).append(done)
        for (advantage, *_), (done, *others) in repeats.items():
            rows.append(Row(done.prompt_ids, done.token_ids, done.logprobs, advantage, 1 + len(others)))
    return rows


def token_weights(
    lengths_B: NDArray[np.int64], counts_B: NDArray[np.int64], settings: GrpoSettings
) -> NDArray[np.float64]:
    """What each token of each row counts in the loss (B,), from the completion lengths and counts of the *whole* step.

    `dapo` and `cispo` average over the step's tokens; `grpo` and `gspo` over each completion, then over completions, as
    published; `dr_grpo` divides by a constant, completions times the most tokens that one may have, so that a wrong
    answer gets no cheaper by being long. The weights sum to 1 (at most 1 for `dr_grpo`).
    """
    if settings.loss in ("grpo", "gspo"):
        return counts_B / (counts_B.sum() * lengths_B)
    if settings.loss == "dr_grpo":
        return counts_B / (counts_B.sum() * settings.max_completion_tokens)
    return counts_B / (counts_B * lengths_B).sum()


def to_columns(rows: Sequence[Row], settings: GrpoSettings) -> Columns:
    """The step as padded arrays, one row a completion, in an order that splits evenly.

    Columns: `tokens` (B, T) int32; `sampler_logprobs` (B, T) fp32, 0 outside the completion; `targets_start` and
    `length` (B,): the completion is `tokens[start:length]`; `prompt` (B,) int32, equal for rows with the same prompt;
    `advantage`, `token_weight` (B,) fp32; `count` (B,) int32, 0 for a row that only fills up.

    RLlib gives learner i the i-th of `learners` runs of equally many rows, and each learner's gradient is averaged with
    the others': each run is filled up with rows of count 0, which cost nothing, and weights are times `learners`, so
    that the average is exactly the gradient of the whole step.
    """
    learners = max(1, settings.learners)
    lengths = np.array([len(row.token_ids) for row in rows])
    counts = np.array([row.count for row in rows])
    weights = token_weights(lengths, counts, settings) * learners
    shares = shares_of(rows, learners)
    height, width = max(map(len, shares)), max(row.length for row in rows)
    size = height * learners
    columns: Columns = {
        TOKENS: np.zeros((size, width), np.int32),
        SAMPLER_LOGPROBS: np.zeros((size, width), np.float32),
        TARGETS_START: np.ones(size, np.int32),
        LENGTH: np.full(size, 2, np.int32),
        PROMPT: np.full(size, -1, np.int32),
        ADVANTAGE: np.zeros(size, np.float32),
        TOKEN_WEIGHT: np.zeros(size, np.float32),
        COUNT: np.zeros(size, np.int32),
    }
    prompts: dict[tuple[int, ...], int] = {}
    for learner, share in enumerate(shares):
        for place, index in enumerate(share, learner * height):
            row, start = rows[index], len(rows[index].prompt_ids)
            columns[TOKENS][place, : row.length] = row.prompt_ids + row.token_ids
            columns[SAMPLER_LOGPROBS][place, start : row.length] = row.logprobs
            columns[TARGETS_START][place], columns[LENGTH][place] = start, row.length
            columns[PROMPT][place] = prompts.setdefault(row.prompt_ids, len(prompts))
            columns[ADVANTAGE][place], columns[TOKEN_WEIGHT][place] = row.advantage, weights[index]
            columns[COUNT][place] = row.count
    return columns


def shares_of(rows: Sequence[Row], learners: int) -> list[list[int]]:
    """Which rows each learner gets: runs with about as many tokens, so that siblings mostly stay together."""
    lengths = np.array([row.length for row in rows])
    middles = np.cumsum(lengths) - lengths / 2
    owners = (middles * learners / lengths.sum()).astype(np.int64).clip(max=learners - 1)
    return [np.flatnonzero(owners == learner).tolist() for learner in range(learners)]
