"""Prompts for a gap in a text, and llama.cpp's shape of the answer.

    extra snippets, <prefix> text before the gap <suffix> text after it <hole> ─► what the model writes

A text too long for the context loses what is farthest from the gap: first snippets, then the prefix's beginning and the
suffix's end. Knows nothing of routes.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from serve.engine import Delta, Engine, Sampling
from serve.errors import ApiError
from serve.native_protocol import InfillRequest
from serve.scheduler import Scheduler

SUFFIX_SHARE = 0.25
"""Of the room, where both sides are too long: what stands before the cursor says more. llama.cpp's own share."""
SNIPPET = "\n\n--- snippet ---\n\n"
"""What llama.cpp writes before each snippet of another file."""
DEFAULT_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids to go on from; `truncated` says that not all of the text fitted."""

    ids: tuple[int, ...]
    truncated: bool = False


def infill_prompt(
    engine: Engine, prefix: str, suffix: str, max_tokens: int, extras: Sequence[str] = (), fit: bool = True
) -> Prompt:
    """The prompt that asks for what stands between `prefix` and `suffix`, with room for `max_tokens`.

    Args:
        fit: whether a text too long is cut, or left for the caller to refuse.

    Raises:
        ApiError: the model was not trained to fill gaps, or `max_tokens` leave no room.
    """
    markers = engine.file.fim
    if markers is None:
        raise ApiError(
            f"The model '{engine.file.name}' was not trained to fill in the middle: its file names no tokens for it. "
            "Send the text before the gap as the prompt of /v1/completions, without a suffix.",
            code="no_infill",
            param="suffix",
        )
    before, after = engine.tokenize(prefix, special=False), engine.tokenize(suffix, special=False)
    room = engine.context_length - max_tokens - len(markers)
    if fit and room < 1:
        raise ApiError(
            f"{max_tokens} tokens to write leave no room for a prompt in a context of {engine.context_length}.",
            param="n_predict",
            code="context_length_exceeded",
        )
    truncated = fit and len(before) + len(after) > room
    if truncated:
        most_after = max(int(room * SUFFIX_SHARE), room - len(before))
        after = after[:most_after]
        before = before[len(before) - min(len(before), room - len(after)) :]
    around = [markers[0], *before, markers[1], *after, markers[2]]
    snippets: list[int] = []
    for extra in extras:  # editors put the latest last, and the last is the nearest to the gap
        snippets += engine.tokenize(SNIPPET + extra, special=False)
    left = engine.context_length - max_tokens - len(around)
    return Prompt((*(snippets[-left:] if left > 0 else ()), *around), truncated)


@dataclass(slots=True)
class _Written:
    """An answer as it grows."""

    prompt_tokens: int
    begun: float = field(default_factory=time.perf_counter)
    first: float = 0.0
    text: str = ""
    tokens: int = 0
    stop_type: str = "none"

    def add(self, delta: Delta) -> None:
        self.first = self.first or time.perf_counter()
        self.text += delta.text
        self.tokens = delta.completion_tokens or self.tokens + 1
        if delta.finish_reason:
            self.stop_type = "limit" if delta.finish_reason == "length" else "eos"

    def late(self, milliseconds: int) -> bool:
        """Whether its time is over, and a whole line is there."""
        return milliseconds > 0 and "\n" in self.text and (time.perf_counter() - self.first) * 1000 > milliseconds


async def infill(
    scheduler: Scheduler, model: str, body: InfillRequest, prompt: Prompt
) -> AsyncGenerator[dict[str, Any], None]:
    """The answer piece by piece, each as llama.cpp streams it; the last is whole but for its `content`.

    Raises:
        Overloaded: the queue is full.
    """
    written, wanted = _Written(len(prompt.ids)), tokens_wanted(body)
    with scheduler.admit():
        async with aclosing(scheduler.complete(prompt.ids, _sampling(body))) as deltas:
            async for delta in deltas:
                if wanted == 0:  # llama.cpp samples one token all the same
                    break
                written.add(delta)
                if delta.text:
                    yield {"content": delta.text, "stop": False}
                if written.late(body.t_max_predict_ms):
                    written.stop_type = "limit"
                    break
    yield _ending(written, model, prompt)


def tokens_wanted(body: InfillRequest) -> int:
    """How many tokens an infill request may take, the default included."""
    return DEFAULT_TOKENS if body.n_predict in (None, -1) else body.n_predict or 0


def picked(answer: dict[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Only the fields that `paths` name, under their whole paths, as llama.cpp does; all without any."""
    found = {}
    for path in paths:
        value: Any = answer
        for key in path.split("/"):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            found[path] = value
    return found if paths else answer


def _ending(written: _Written, model: str, prompt: Prompt) -> dict[str, Any]:
    now = time.perf_counter()
    reading, writing = ((written.first or now) - written.begun) * 1000, (now - (written.first or now)) * 1000
    return {
        "content": "",
        "stop": True,
        "model": model,
        "stop_type": written.stop_type,
        "truncated": prompt.truncated,
        "tokens_evaluated": written.prompt_tokens,
        "tokens_predicted": written.tokens,
        "tokens_cached": written.prompt_tokens + written.tokens,
        "timings": {
            "prompt_n": written.prompt_tokens,
            "prompt_ms": reading,
            "prompt_per_token_ms": reading / max(written.prompt_tokens, 1),
            "prompt_per_second": written.prompt_tokens / max(reading, 1e-3) * 1000,
            "predicted_n": written.tokens,
            "predicted_ms": writing,
            "predicted_per_token_ms": writing / max(written.tokens, 1),
            "predicted_per_second": written.tokens / max(writing, 1e-3) * 1000,
        },
    }


def _sampling(body: InfillRequest) -> Sampling:
    return Sampling(
        max_tokens=tokens_wanted(body),
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        repeat_penalty=body.repeat_penalty,
        seed=None if body.seed in (None, -1) else body.seed,
        stop=tuple(body.stop),
    )
