"""Wire types between whoever wants completions and the rollout actors. Token ids in, token ids out: no text here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class VersionSpan:
    """Tokens `[start, end)` of a completion were sampled by policy `version`."""

    version: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One sample of one prompt. `id` is the caller's and comes back on the completion.

    With temperature 0 the decoding is greedy. `seed` makes one request repeatable.
    """

    id: str
    prompt_ids: tuple[int, ...]
    max_tokens: int
    temperature: float = 1.0
    seed: int | None = None
    logprobs: bool = True
    """Report log-probabilities, which training needs and nobody else pays for."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished sample.

    `logprobs[i]` is the log-probability of `token_ids[i]` under the sampling distribution: after temperature, or at
    temperature 1 when the decoding was greedy; empty where they were not asked for.
    `finish_reason` is stop (end-of-text sampled; that token is the last of `token_ids`) or length.
    """

    id: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    versions: tuple[VersionSpan, ...]
    seconds: float = field(default=0.0, compare=False)
    """From when a replica took the request to its last token. No part of what was sampled."""

    @property
    def oldest_version(self) -> int:
        """The oldest policy version that sampled any of its tokens."""
        return min(span.version for span in self.versions)


@dataclass(frozen=True, slots=True)
class Canary:
    """A prompt, and the learner's log-probabilities of its tokens from the second on: see `rollout.canary`."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PushProof:
    """What an engine says that it holds: its version, and `rollout.checksum` of every tensor, by Hugging Face name.

    `canary_logprobs`: of the canary, where it was asked about one.
    """

    version: int
    checksums: Mapping[str, str]
    canary_logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PushReport:
    """What came of one weight push. `proved` replicas serve `version`; `stale` ones (with the reason) serve nothing."""

    version: int
    megabytes: float
    seconds: float
    proved: tuple[int, ...]
    stale: Mapping[int, str] = field(default_factory=dict)
