"""The HTTP API of one replica: OpenAI's endpoints, health and metrics.

    POST /v1/completions, /v1/chat/completions    GET /v1/models, /v1/models/{id}, /health, /metrics, /docs

Every error has OpenAI's shape. Knows nothing of Ray: the same app runs under bare uvicorn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from serve.answers import Job, event_stream, whole_answer
from serve.chat import chat_prompt
from serve.engine import LlamaCppEngine, Sampling
from serve.errors import ApiError
from serve.http import Counted, add_errors, document_bodies, documented_body, read_body
from serve.metrics import ServeMetrics
from serve.protocol import ChatRequest, CompletionRequest, ModelCard, ModelList
from serve.scheduler import Scheduler
from serve.settings import ServeSettings

COMPLETION_MAX_TOKENS = 16
"""OpenAI's default for /v1/completions. A chat answer may fill the context."""

DOCUMENTED = (CompletionRequest, ChatRequest)


def create_app(engine: LlamaCppEngine, settings: ServeSettings, metrics: ServeMetrics | None = None) -> FastAPI:
    """The app that answers with `engine`, which must have been loaded with the same settings."""
    metrics = metrics or ServeMetrics()
    scheduler = Scheduler(engine, settings.slots, settings.max_queue, metrics)
    model = settings.name or engine.file.name
    app = FastAPI(title="Ferrotype", description="An OpenAI-compatible server of one GGUF model.")

    app.add_middleware(Counted, metrics=metrics)
    add_errors(app)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "model": model}

    @app.get("/metrics")
    async def prometheus() -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models")
    async def models() -> ModelList:
        return ModelList(data=[ModelCard(id=model, created=engine.file.created)])

    @app.get("/v1/models/{model_id:path}")
    async def model_card(model_id: str) -> ModelCard:
        _check_model(model_id, model)
        return ModelCard(id=model, created=engine.file.created)

    @app.post("/v1/completions", openapi_extra=documented_body(CompletionRequest))
    async def completions(request: Request) -> Response:
        body = await read_body(request, CompletionRequest, settings.max_body_bytes)
        _check_model(body.model, model)
        prompts = await asyncio.to_thread(
            lambda: [engine.tokenize(prompt) if isinstance(prompt, str) else prompt for prompt in body.prompts]
        )
        max_tokens = body.max_tokens or COMPLETION_MAX_TOKENS
        return await answer(body, "completions", prompts, max_tokens, body.logprobs)

    @app.post("/v1/chat/completions", openapi_extra=documented_body(ChatRequest))
    async def chat_completions(request: Request) -> Response:
        body = await read_body(request, ChatRequest, settings.max_body_bytes)
        _check_model(body.model, model)
        prompt = await asyncio.to_thread(lambda: engine.tokenize(chat_prompt(engine, body.messages)))
        max_tokens = body.max_completion_tokens or body.max_tokens or engine.context_length
        logprobs = (body.top_logprobs or 0) if body.logprobs else None
        return await answer(body, "chat", [prompt], max_tokens, logprobs)

    async def answer(
        body: CompletionRequest | ChatRequest,
        endpoint: Any,
        prompts: list[list[int]],
        max_tokens: int,
        logprobs: int | None,
    ) -> Response:
        for prompt in prompts:
            _check_length(len(prompt), engine.context_length)
        job = Job(
            endpoint=endpoint,
            model=model,
            prompts=tuple(map(tuple, prompts)),
            samplings=_samplings(body, max_tokens, logprobs),
            wants_usage=body.wants_usage,
        )
        if not body.stream:
            return JSONResponse(await whole_answer(scheduler, job))
        events = event_stream(scheduler, job)
        first = await anext(events)  # what is refused is refused here, while the status can still say so
        return StreamingResponse(
            _chain(first, events), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
        )

    document_bodies(app, DOCUMENTED)
    return app


def _check_model(asked: str | None, served: str) -> None:
    if asked is not None and asked != served:
        raise ApiError(
            f"The model '{asked}' does not exist. This server has '{served}'.",
            status=404,
            param="model",
            code="model_not_found",
        )


def _check_length(prompt_tokens: int, context_length: int) -> None:
    if prompt_tokens == 0:
        raise ApiError("The prompt is empty.", param="prompt")
    if prompt_tokens >= context_length:
        raise ApiError(
            f"This model's context is {context_length} tokens, and the prompt has {prompt_tokens}. Shorten the prompt.",
            param="prompt",
            code="context_length_exceeded",
        )


def _samplings(body: CompletionRequest | ChatRequest, max_tokens: int, logprobs: int | None) -> tuple[Sampling, ...]:
    """One for each of the `n` samples; with a seed, each sample has its own, and is repeatable."""
    return tuple(
        Sampling(
            max_tokens=max_tokens,
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=body.top_p or 1.0,
            top_k=body.top_k or 0,
            min_p=body.min_p or 0.0,
            presence_penalty=body.presence_penalty or 0.0,
            frequency_penalty=body.frequency_penalty or 0.0,
            logit_bias={int(token): bias for token, bias in (body.logit_bias or {}).items()},
            seed=None if body.seed is None else body.seed + sample,
            stop=body.stops,
            logprobs=logprobs,
        )
        for sample in range(body.n or 1)
    )


async def _chain(first: str, rest: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    try:
        yield first
        async for event in rest:
            yield event
    finally:
        with suppress(RuntimeError):
            await rest.aclose()
