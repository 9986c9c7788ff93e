"""The reward farm over HTTP: check a file, reward completions, health and metrics.

    POST /v1/rust/check, /v1/rewards    GET /health, /metrics, /docs

Every error has OpenAI's shape. A fault of the farm is never a reward: its item has the outcome "infra_fault" and a null
reward. Knows nothing of Ray Serve: the same app runs wherever a `RewardFarm` can.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from reward_farm.document import read_problem, write_verdict
from reward_farm.errors import FarmError
from reward_farm.pool import RewardFarm
from reward_farm.problem import Problem, Submission
from reward_farm.scoring import Prompted, submission_of
from reward_farm.verdict import Verdict
from serve.farm_errors import api_error
from serve.http import Counted, add_errors, document_bodies, documented_body, read_body
from serve.judge_protocol import CheckRequest, RewardsRequest
from serve.metrics import REQUEST_SECONDS, REQUESTS, ServeMetrics
from serve.settings import JudgeSettings


def create_judge_app(make_farm: Callable[[], RewardFarm], settings: JudgeSettings) -> FastAPI:
    """The app around the farm that `make_farm` gives, made as the app starts and closed as it ends."""
    metrics = ServeMetrics((REQUESTS, REQUEST_SECONDS))
    farms: list[RewardFarm] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        farms.append(make_farm())
        farms[0].start()
        yield
        await farms.pop().close()

    app = FastAPI(title="Ferrotype's judge", description="Verdicts and rewards for Rust.", lifespan=lifespan)
    app.add_middleware(Counted, metrics=metrics)
    add_errors(app)

    @app.exception_handler(FarmError)
    async def on_farm_error(_: Request, error: FarmError) -> Response:
        known = api_error(error)
        return JSONResponse(known.body, known.status, known.headers)

    @app.get("/health")
    async def health() -> Response:
        refusal, stats = farms[0].refusal, farms[0].stats()
        body = {"status": "ok" if refusal is None else str(refusal), "waiting": stats.waiting, "workers": stats.ready}
        return JSONResponse(body, 200 if refusal is None else 503)

    @app.get("/metrics")
    async def prometheus() -> Response:
        text = metrics.exposition() + farms[0].metrics.exposition()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post("/v1/rust/check", openapi_extra=documented_body(CheckRequest))
    async def check(request: Request) -> Response:
        body = await read_body(request, CheckRequest, settings.max_body_bytes)
        problem = Problem(body.entry or "", (), "()") if body.problem is None else read_problem(body.problem)
        submission = Submission(body.id or _new_id(), body.source, problem)
        [verdict] = await judged([submission], body.deadline_seconds)
        return JSONResponse({"object": "rust.check", **write_verdict(verdict)})

    @app.post("/v1/rewards", openapi_extra=documented_body(RewardsRequest))
    async def rewards(request: Request) -> Response:
        body = await read_body(request, RewardsRequest, settings.max_body_bytes)
        task = Prompted(read_problem(body.problem), body.prompt)
        prefix = body.id or _new_id()
        completions = [each if isinstance(each, str) else [{"content": each[-1].text}] for each in body.completions]
        group = [submission_of(f"{prefix}/{place}", task, each) for place, each in enumerate(completions)]
        verdicts = await judged(group, body.deadline_seconds)
        data = [{"index": place, **write_verdict(verdict)} for place, verdict in enumerate(verdicts)]
        return JSONResponse({"object": "list", "id": prefix, "data": data})

    async def judged(group: Sequence[Submission], deadline_seconds: float | None) -> list[Verdict]:
        return await farms[0].judge_many(group, deadline_seconds or settings.deadline_seconds)

    document_bodies(app, (CheckRequest, RewardsRequest))
    return app


def _new_id() -> str:
    return uuid.uuid4().hex
