"""The HTTP API of one replica: OpenAI's endpoints, models, health and metrics. llama.cpp's own are in `native_api`.

    POST /v1/completions, /v1/chat/completions    GET /v1/models, /v1/models/{id}, /health, /ready, /metrics, /docs

Every error has OpenAI's shape. Knows nothing of Ray: the same app runs under bare uvicorn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.middleware.cors import CORSMiddleware

from serve.answers import Job, event_stream, whole_answer
from serve.chat import chat_prompt
from serve.engine import Engine, Sampling
from serve.errors import ApiError, EngineError
from serve.http import Counted, Named, add_errors, document_bodies, documented_body, read_body
from serve.infill import infill_prompt
from serve.judge_protocol import CheckRequest
from serve.keys import Gate, Guarded
from serve.models import Models, Served
from serve.native_api import add_native
from serve.native_protocol import DetokenizeRequest, InfillRequest, TokenizeRequest
from serve.playground.page import add_playground
from serve.protocol import ChatRequest, CompletionRequest, ModelCard, ModelList
from serve.settings import ServeSettings
from serve.verification import Judging
from serve.verified_api import Verifying, add_check, models_of, wanted

COMPLETION_MAX_TOKENS = 16
"""OpenAI's default for /v1/completions. A chat answer may fill the context."""

READY_SECONDS = 5.0
"""An engine that does not answer within it hangs."""

DOCUMENTED = (CompletionRequest, ChatRequest, InfillRequest, TokenizeRequest, DetokenizeRequest, CheckRequest)
CORS_HEADERS = ("Authorization", "Content-Type", "X-Request-Id", "X-Verify")


def create_app(models: Models, settings: ServeSettings, judge: Judging | None = None, named: bool = True) -> FastAPI:
    """The app that answers with `models`, which must have been loaded with the same settings.

    Args:
        judge: who checks answers where a client asks for it; None offers no checks.
        named: whether the app gives requests their ids; a proxy before it may do so already.
    """
    metrics, verifying = models.metrics, Verifying(judge, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(models.watch(settings.watch_seconds)) if settings.watch_seconds else None
        yield
        if watch is not None:
            watch.cancel()

    app = FastAPI(title="Ferrotype", description="An OpenAI-compatible server of GGUF models.", lifespan=lifespan)

    # The last that is added is the first that a request meets.
    if settings.api_keys:
        app.add_middleware(Guarded, gate=Gate(settings.api_keys))
    app.add_middleware(Counted, metrics=metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=CORS_HEADERS,
            expose_headers=("X-Request-Id", "Retry-After"),
        )
    if named:
        app.add_middleware(Named)
    add_errors(app)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "model": models.all[0].name}

    @app.get("/ready")
    async def ready() -> dict[str, Any]:
        try:
            await asyncio.wait_for(asyncio.to_thread(models.check), READY_SECONDS)
        except Exception as error:
            raise ApiError("The engine does not answer.", status=503, kind="server_error", code="not_ready") from error
        return {"status": "ready", "models": [served.name for served in models.all]}

    @app.get("/metrics")
    async def prometheus() -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models")
    async def list_models() -> ModelList:
        known = models_of(models, judge)
        return ModelList(data=[ModelCard(id=name, created=served.created) for name, served in known])

    @app.get("/v1/models/{model_id:path}")
    async def model_card(model_id: str) -> ModelCard:
        served = dict(models_of(models, judge)).get(model_id) or models.get(model_id)
        return ModelCard(id=model_id, created=served.created)

    @app.post("/v1/completions", openapi_extra=documented_body(CompletionRequest))
    async def completions(request: Request) -> Response:
        body = await read_body(request, CompletionRequest, settings.max_body_bytes)
        verified = wanted(request, body)
        served = models.get(body.model)
        prompts = await asyncio.to_thread(_prompts, served.engine, body)
        texts = await asyncio.to_thread(_texts, served.engine, body) if body.echo or verified else ()
        job = completion_job(served, body, prompts, texts if body.echo else ())
        if verified is not None:
            _check_job(job, served)
            return await verifying.completion(served, body, job, verified, texts)
        return await answer(served, job, body.stream)

    @app.post("/v1/chat/completions", openapi_extra=documented_body(ChatRequest))
    async def chat_completions(request: Request) -> Response:
        body = await read_body(request, ChatRequest, settings.max_body_bytes)
        verified = wanted(request, body)
        served = models.get(body.model)
        prompt = await asyncio.to_thread(lambda: served.engine.tokenize(chat_prompt(served.engine, body.messages)))
        job = chat_job(served, body, prompt)
        if verified is not None:
            _check_job(job, served)
            return await verifying.chat(served, body, job, verified)
        return await answer(served, job, body.stream)

    async def answer(served: Served, job: Job, stream: bool | None) -> Response:
        _check_job(job, served)
        if not stream:
            return JSONResponse(await whole_answer(served.scheduler, job))
        events = event_stream(served.scheduler, job)
        first = await anext(events)  # what is refused is refused here, while the status can still say so
        return StreamingResponse(
            _chain(first, events), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
        )

    add_native(app, models, settings)
    add_check(app, verifying, settings)
    if settings.playground:
        add_playground(app)
    document_bodies(app, DOCUMENTED)
    return app


def completion_job(
    served: Served, body: CompletionRequest, prompts: list[list[int]], echoes: tuple[str, ...] = ()
) -> Job:
    """The work of a /v1/completions request."""
    return Job(
        endpoint="completions",
        model=served.name,
        prompts=tuple(map(tuple, prompts)),
        samplings=_samplings(body, body.max_tokens or COMPLETION_MAX_TOKENS, body.logprobs),
        wants_usage=body.wants_usage,
        echoes=echoes,
    )


def chat_job(served: Served, body: ChatRequest, prompt: list[int]) -> Job:
    """The work of a /v1/chat/completions request."""
    max_tokens = body.max_completion_tokens or body.max_tokens or served.engine.context_length
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    return Job(
        endpoint="chat",
        model=served.name,
        prompts=(tuple(prompt),),
        samplings=_samplings(body, max_tokens, logprobs),
        wants_usage=body.wants_usage,
    )


def _prompts(engine: Engine, body: CompletionRequest) -> list[list[int]]:
    if body.suffix:
        tokens = body.max_tokens or COMPLETION_MAX_TOKENS
        return [list(infill_prompt(engine, str(text), body.suffix, tokens, fit=False).ids) for text in body.prompts]
    return [engine.tokenize(prompt) if isinstance(prompt, str) else prompt for prompt in body.prompts]


def _texts(engine: Engine, body: CompletionRequest) -> tuple[str, ...]:
    try:
        return tuple(prompt if isinstance(prompt, str) else engine.detokenize(prompt) for prompt in body.prompts)
    except EngineError as error:
        raise ApiError(str(error), status=error.status, param="prompt") from error


def _check_job(job: Job, served: Served) -> None:
    for prompt in job.prompts:
        _check_length(len(prompt), served.engine.context_length)


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
            top_p=1.0 if body.top_p is None else body.top_p,
            top_k=body.top_k or 0,
            min_p=body.min_p or 0.0,
            presence_penalty=body.presence_penalty or 0.0,
            frequency_penalty=body.frequency_penalty or 0.0,
            repeat_penalty=1.0 if body.repeat_penalty is None else body.repeat_penalty,
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
