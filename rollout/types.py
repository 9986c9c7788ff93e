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


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished sample.

    `logprobs[i]` is the log-probability of `token_ids[i]` under the sampling distribution: after temperature, or at
    temperature 1 when the decoding was greedy.
    `finish_reason` is stop (end-of-text sampled; that token is the last of `token_ids`) or length.
    """

    id: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    versions: tuple[VersionSpan, ...]

    @property
    def oldest_version(self) -> int:
        """The oldest policy version that sampled any of its tokens."""
        return min(span.version for span in self.versions)


@dataclass(frozen=True, slots=True)
class PushProof:
    """What an engine says that it holds: its version, and `rollout.checksum` of every tensor, by Hugging Face name."""

    version: int
    checksums: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PushReport:
    """What came of one weight push. `proved` replicas serve `version`; `stale` ones (with the reason) serve nothing."""

    version: int
    megabytes: float
    seconds: float
    proved: tuple[int, ...]
    stale: Mapping[int, str] = field(default_factory=dict)
