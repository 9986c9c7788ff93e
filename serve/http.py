"""What both HTTP APIs of this package share: errors in OpenAI's shape, bodies read within bounds, requests counted.

Knows nothing of models or of judging.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ApiError

BODY_SECONDS = 30
"""The largest body at the speed of a slow telephone; past it, a client holds the place of others."""

R = TypeVar("R", bound=BaseModel)


class Counting(Protocol):
    """Where requests are counted."""

    def requested(self, endpoint: str, status: str, seconds: float) -> None:
        """A request was answered to its last byte."""
        ...


def add_errors(app: FastAPI) -> None:
    """Every error that leaves `app` has OpenAI's shape."""

    @app.exception_handler(ApiError)
    async def on_api_error(_: Request, error: ApiError) -> Response:
        return JSONResponse(error.body, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        text = f"{request.method} {request.url.path}: {error.detail}. The endpoints are listed at /docs."
        return JSONResponse(ApiError(text).body, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def on_bug(_: Request, __: Exception) -> Response:
        return JSONResponse(ApiError("The server failed; its log says why.", kind="server_error").body, 500)


class Counted:
    """Counts and times every request until its last byte, streams included."""

    def __init__(self, app: ASGIApp, metrics: Counting) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started, status = time.monotonic(), "disconnected"

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            # Route templates, not paths: a scanner must not make a series of each path that it tries.
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requested(route, status, time.monotonic() - started)
        return None


class Named:
    """Gives every answer the id of its request: the client's own `X-Request-Id`, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        name = Headers(scope=scope).get("x-request-id") or uuid.uuid4().hex

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = name
            await send(message)

        return await self._app(scope, receive, send_named)


async def read_body(request: Request, kind: type[R], limit: int) -> R:
    """The request's body, whatever its Content-Type says, as strict JSON of at most `limit` bytes."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    text = f"The request's body is larger than {limit} bytes."
                    raise ApiError(text, status=413, code="body_too_large")
    except TimeoutError:
        raise ApiError(f"The request's body did not come within {BODY_SECONDS} s.", status=408) from None
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        # Names of a union's members are no part of the field's path.
        path = [str(part) for part in first["loc"] if not str(part).startswith(("str", "list[", "constrained-"))]
        param = first.get("ctx", {}).get("param") or ".".join(path) or None
        text = first["msg"].removeprefix("Value error, ")
        code = first["type"] if first["type"] == "unsupported_parameter" else None
        raise ApiError(f"{param}: {text}" if path else text, param=param, code=code) from error


def documented_body(body: type[BaseModel]) -> dict[str, Any]:
    """For a route whose body `read_body` reads: what the OpenAPI document says of it."""
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def document_bodies(app: FastAPI, bodies: Sequence[type[BaseModel]]) -> None:
    """Tells the OpenAPI document of the bodies that `read_body` reads. After the last route."""
    schema = app.openapi()
    _, definitions = models_json_schema(
        [(documented, "validation") for documented in bodies], ref_template="#/components/schemas/{model}"
    )
    schema.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
