"""What a server needs of an engine, whichever runs the model, and the values that pass between them.

Imports no engine: `serve.engines` chooses one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

from serve.model_file import ModelFile

SEEDS = 2**32 - 1
"""llama.cpp takes 32 bits, of which the last value means: draw one. A seed means the same for every engine."""

FinishReason: TypeAlias = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one completion is sampled. `temperature` 0 is greedy; `logprobs` is how many alternatives to report."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A sampled token and its natural log-probability before temperature; `top` are the likeliest at its place."""

    token: str
    bytes: tuple[int, ...]
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a completion. The last has a finish reason and the counts of tokens."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


def joined(deltas: Sequence[Delta]) -> Delta:
    """Pieces that follow each other as one."""
    if len(deltas) == 1:
        return deltas[0]
    logprobs = tuple(token for delta in deltas for token in delta.logprobs)
    return replace(deltas[-1], text="".join(delta.text for delta in deltas), logprobs=logprobs)


class Engine(Protocol):
    """A loaded model. Calls block, and may come from several threads at once; what is generated at once is decoded in
    one batch. An engine that nobody refers to any more frees what it holds."""

    @property
    def file(self) -> ModelFile:
        """What the model's file or folder says of itself."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens of the longest prompt plus completion."""
        ...

    def tokenize(self, text: str, special: bool = True) -> list[int]:
        """`text` as token ids; `special` tokens written out in it are taken as such, or else as the text they are."""
        ...

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids.

        Raises:
            EngineError: an id is none of the vocabulary's.
        """
        ...

    def render_chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt that the model's own chat template makes of `messages` (role and content).

        Raises:
            EngineError: the template refuses them.
        """
        ...

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling, on_delta: Callable[[Delta], bool]) -> None:
        """Complete `prompt_ids`, calling `on_delta` for each piece, in whatever thread; it returns False to stop early.

        Raises:
            EngineError: the engine refuses the request or fails at it.
        """
        ...

    def check(self) -> None:
        """Return if the engine answers; it hangs or raises otherwise."""
        ...
