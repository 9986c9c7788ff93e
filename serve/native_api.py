"""llama.cpp's own endpoints, for editors and tools: /infill, /tokenize, /detokenize."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from serve.errors import ApiError, EngineError
from serve.http import documented_body, read_body
from serve.infill import infill, infill_prompt, picked, tokens_wanted
from serve.models import Models
from serve.native_protocol import DetokenizeRequest, InfillRequest, TokenizeRequest
from serve.settings import ServeSettings


def add_native(app: FastAPI, models: Models, settings: ServeSettings) -> None:
    """Adds the endpoints to `app`."""

    @app.post("/infill", openapi_extra=documented_body(InfillRequest))
    async def fill(request: Request) -> Response:
        body = await read_body(request, InfillRequest, settings.max_body_bytes)
        served = models.get(body.model)
        extras = [extra.text for extra in body.input_extra]
        prefix = body.input_prefix + body.prompt
        prompt = await asyncio.to_thread(
            infill_prompt, served.engine, prefix, body.input_suffix, tokens_wanted(body), extras
        )
        pieces = infill(served.scheduler, served.name, body, prompt)
        if body.stream:
            first = await anext(pieces)
            return StreamingResponse(_events(first, pieces), media_type="text/event-stream")
        answers = [piece async for piece in pieces]
        whole = {**answers[-1], "content": "".join(piece["content"] for piece in answers)}
        return JSONResponse(picked(whole, body.response_fields))

    @app.post("/tokenize", openapi_extra=documented_body(TokenizeRequest))
    async def tokenize(request: Request) -> Response:
        body = await read_body(request, TokenizeRequest, settings.max_body_bytes)
        engine = models.get(body.model).engine
        ids = await asyncio.to_thread(engine.tokenize, body.content, body.parse_special)
        if not body.with_pieces:
            return JSONResponse({"tokens": ids})
        pieces = await asyncio.to_thread(lambda: [engine.detokenize([token]) for token in dict.fromkeys(ids)])
        named = dict(zip(dict.fromkeys(ids), pieces, strict=True))
        return JSONResponse({"tokens": [{"id": token, "piece": named[token]} for token in ids]})

    @app.post("/detokenize", openapi_extra=documented_body(DetokenizeRequest))
    async def detokenize(request: Request) -> Response:
        body = await read_body(request, DetokenizeRequest, settings.max_body_bytes)
        try:
            return JSONResponse(
                {"content": await asyncio.to_thread(models.get(body.model).engine.detokenize, body.tokens)}
            )
        except EngineError as error:
            raise ApiError(str(error), status=error.status, param="tokens") from error


async def _events(first: dict[str, Any], rest: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[str, None]:
    try:
        yield f"data: {json.dumps(first)}\n\n"
        async for piece in rest:
            yield f"data: {json.dumps(piece)}\n\n"
    finally:
        await rest.aclose()
