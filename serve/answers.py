"""Runs one request's completions and shapes them as OpenAI does: whole, or as server-sent events.

It knows how the choices of the two endpoints differ, and nothing of routes.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from serve.engine import Delta, FinishReason, Sampling, TokenLogprob
from serve.errors import ApiError, EngineError
from serve.scheduler import Scheduler, merge

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be completed: each of `prompts` with each of `samplings`. Choices are numbered prompt by prompt."""

    endpoint: Literal["completions", "chat"]
    model: str
    prompts: tuple[tuple[int, ...], ...]
    samplings: tuple[Sampling, ...]
    wants_usage: bool = False
    echoes: tuple[str, ...] = ()
    """The prompts as text, where answers begin with them."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def choices(self) -> int:
        """How many completions it asks for."""
        return len(self.prompts) * len(self.samplings)

    def echo(self, index: int) -> str:
        """What choice `index` begins with."""
        return self.echoes[index // len(self.samplings)] if self.echoes else ""

    @property
    def logprobs(self) -> int | None:
        """Alternatives to report for each token, or None for no log-probabilities at all."""
        return self.samplings[0].logprobs


@dataclass(slots=True)
class _Choice:
    """A completion as it grows."""

    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    completion_tokens: int = 0

    def add(self, delta: Delta) -> None:
        self.text += delta.text
        self.logprobs.extend(delta.logprobs)
        self.finish_reason = delta.finish_reason
        self.completion_tokens = delta.completion_tokens


async def whole_answer(scheduler: Scheduler, job: Job) -> Json:
    """Run `job` to its end.

    Raises:
        ApiError: the queue is full, or the engine refuses it.
    """
    choices = [_Choice() for _ in range(job.choices)]
    async with aclosing(_run(scheduler, job, whole=True)) as deltas:
        async for index, delta in deltas:
            choices[index].add(delta)
    shaped = [
        whole_choice(job, index, job.echo(index) + choice.text, choice.finish_reason, choice.logprobs)
        for index, choice in enumerate(choices)
    ]
    return {**head_of(job), "choices": shaped, "usage": usage_of(job, sum(c.completion_tokens for c in choices))}


def whole_choice(
    job: Job, index: int, text: str, finish_reason: FinishReason | None, logprobs: Sequence[TokenLogprob] = ()
) -> Json:
    """A choice of an answer that is not streamed."""
    body: Json = {"text": text}
    if job.endpoint == "chat":
        body = {"message": {"role": "assistant", "content": text, "refusal": None}}
    shaped = _shape_logprobs(job, logprobs, 0)
    return {"index": index, **body, "logprobs": shaped, "finish_reason": finish_reason}


def choice_event(job: Job, index: int | None, text: str, finish_reason: FinishReason | None, **beside: Json) -> str:
    """An event with one piece of choice `index`, or with none, and with fields `beside` the choices."""
    body: Json = {"text": text}
    if job.endpoint == "chat":
        body = {"delta": {"role": "assistant", "content": text} if text else {}}
    choice = {"index": index, **body, "logprobs": None, "finish_reason": finish_reason}
    return _event({**head_of(job, streamed=True), "choices": [] if index is None else [choice], **beside})


async def event_stream(scheduler: Scheduler, job: Job) -> AsyncGenerator[str, None]:
    """Run `job`, as server-sent events that end with `[DONE]`.

    Raises:
        ApiError: the queue is full, or the engine refuses it. Raised before the first event; later, it is an event.
    """
    head = head_of(job, streamed=True)
    if job.wants_usage:
        head["usage"] = None
    offsets, tokens, begun = [0] * job.choices, 0, False
    try:
        async with aclosing(_run(scheduler, job)) as deltas:
            async for index, delta in deltas:
                if not begun and job.endpoint == "chat":
                    opening = {"delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
                    for number in range(job.choices):
                        yield _event({**head, "choices": [{"index": number, **opening}]})
                elif not begun and job.echoes:
                    for number in range(job.choices):
                        said = {"index": number, "text": job.echo(number), "logprobs": None, "finish_reason": None}
                        yield _event({**head, "choices": [said]})
                begun = True
                body: Json = {"text": delta.text}
                if job.endpoint == "chat":
                    body = {"delta": {"content": delta.text} if delta.text or not delta.finish_reason else {}}
                logprobs = _shape_logprobs(job, delta.logprobs, offsets[index])
                choice = {"index": index, **body, "logprobs": logprobs, "finish_reason": delta.finish_reason}
                yield _event({**head, "choices": [choice]})
                offsets[index] += len(delta.text)
                tokens += delta.completion_tokens
    except ApiError as error:
        if not begun:
            raise
        yield _event(error.body)
        return
    if job.wants_usage:
        yield _event({**head, "choices": [], "usage": usage_of(job, tokens)})
    yield "data: [DONE]\n\n"


async def _run(scheduler: Scheduler, job: Job, whole: bool = False) -> AsyncGenerator[tuple[int, Delta], None]:
    with scheduler.admit():
        streams = [scheduler.complete(ids, sampling, whole) for ids in job.prompts for sampling in job.samplings]
        try:
            async with aclosing(merge(streams)) as deltas:
                async for numbered in deltas:
                    yield numbered
        except EngineError as error:
            kind = "invalid_request_error" if error.status < 500 else "server_error"
            raise ApiError(str(error), status=error.status, kind=kind) from error


def head_of(job: Job, streamed: bool = False) -> Json:
    """What every answer and event of a job begins with."""
    kind = "chat.completion" + ".chunk" * streamed if job.endpoint == "chat" else "text_completion"
    prefix = "chatcmpl" if job.endpoint == "chat" else "cmpl"
    return {"id": f"{prefix}-{job.id}", "object": kind, "created": job.created, "model": job.model}


def usage_of(job: Job, completion_tokens: int) -> Json:
    """The tokens read and written."""
    prompt_tokens = sum(map(len, job.prompts))
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _event(body: Json) -> str:
    return f"data: {json.dumps(body, separators=(',', ':'))}\n\n"


def _shape_logprobs(job: Job, tokens: Sequence[TokenLogprob], offset: int) -> Json | None:
    if job.logprobs is None or not tokens:
        return None
    if job.endpoint == "chat":
        content = [
            {**_alternative(token), "top_logprobs": [_alternative(top) for top in token.top[: job.logprobs]]}
            for token in tokens
        ]
        return {"content": content, "refusal": None}
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{top.token: top.logprob for top in token.top[: job.logprobs]} for token in tokens],
        "text_offset": offsets,
    }


def _alternative(token: TokenLogprob) -> Json:
    return {"token": token.token, "bytes": list(token.bytes), "logprob": token.logprob}
