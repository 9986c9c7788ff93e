"""Compiler-verified completions over HTTP, and POST /v1/rust/check.

field `verify`  >  header `X-Verify`  >  alias `<model>:verified`          (the first that is there decides)
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from reward_farm.answer import rust_in
from reward_farm.document import read_problem, write_verdict
from reward_farm.errors import FarmError
from reward_farm.problem import Problem, Submission
from reward_farm.rendering import render
from serve.answers import Job, choice_event, head_of, usage_of, whole_choice
from serve.chat import chat_prompt
from serve.engine import Sampling
from serve.errors import ApiError
from serve.farm_errors import api_error
from serve.http import documented_body, read_body
from serve.judge_protocol import CheckRequest
from serve.models import Models, Served
from serve.protocol import ChatRequest, CompletionRequest, Message
from serve.settings import ServeSettings
from serve.verification import Candidate, Judging, Task, Verified, complete_items, problem_of, verify
from serve.verify_protocol import ALIAS, MODES, VerifyOptions

WARM = 0.8
"""Temperature of all candidates but the first where a request is greedy: equal ones would be one."""
CHECK_SECONDS = 60.0
REPAIR = "The compiler says:\n\n```\n{}\n```\n\nWrite the whole corrected code."


def wanted(request: Request, body: CompletionRequest | ChatRequest) -> VerifyOptions | None:
    """What the request asks of the compiler; None for nothing. Takes the alias off the body's model.

    Raises:
        ApiError: the header is none of the modes.
    """
    alias = body.model is not None and body.model.endswith(ALIAS)
    if alias:
        body.model = str(body.model).removesuffix(ALIAS)
    header = request.headers.get("x-verify")
    if header is not None and header not in MODES:
        raise ApiError(f"The header X-Verify is one of {', '.join(MODES)}.", param="X-Verify")
    options = body.verify
    if options is None and (header is not None or alias):
        options = VerifyOptions(mode=header or "best_effort")
    return options if options is not None and options.mode != "off" else None


class Verifying:
    """Answers requests that want the compiler's word."""

    def __init__(self, judge: Judging | None, settings: ServeSettings) -> None:
        self._judge, self._settings = judge, settings

    async def completion(
        self, served: Served, body: CompletionRequest, job: Job, options: VerifyOptions, texts: Sequence[str]
    ) -> Response:
        """The answer to /v1/completions. `texts` are the prompts as text."""
        if options.repair_rounds:
            raise ApiError("'verify.repair_rounds' needs a chat.", param="verify.repair_rounds")
        if len(texts) > 1:
            raise ApiError("'verify' takes one prompt.", param="prompt")
        [prompt], suffix = texts, body.suffix or ""
        task = Task(
            job.prompts[0],
            _warmed(job.samplings[0], options.candidates),
            file_of=lambda text: prompt + text + suffix,
            cut=(lambda text: text) if suffix else (lambda text: complete_items(prompt, text)),
            context=f"{prompt}todo!(){suffix}" if suffix else None,
        )
        return await self._answer(served, body, job, options, task, None)

    async def chat(self, served: Served, body: ChatRequest, job: Job, options: VerifyOptions) -> Response:
        """The answer to /v1/chat/completions."""
        entry = options.entry or str((options.problem or {}).get("entry", ""))
        task = Task(
            job.prompts[0], _warmed(job.samplings[0], options.candidates), file_of=lambda text: rust_in(text, entry)
        )

        def repair(best: Candidate, said: str) -> tuple[int, ...]:
            turns = (("assistant", best.text), ("user", REPAIR.format(said)))
            more = [Message.model_validate({"role": role, "content": text}) for role, text in turns]
            ids = served.engine.tokenize(chat_prompt(served.engine, [*body.messages, *more]))
            # A conversation that has grown too long is asked again as it was.
            return tuple(ids) if len(ids) < served.engine.context_length else job.prompts[0]

        return await self._answer(served, body, job, options, task, repair if options.repair_rounds else None)

    async def _answer(
        self,
        served: Served,
        body: CompletionRequest | ChatRequest,
        job: Job,
        options: VerifyOptions,
        task: Task,
        repair: Any,
    ) -> Response:
        judge = self.judge()
        if len(job.samplings) > 1 or job.logprobs is not None:
            raise ApiError("'verify' gives one answer, without log-probabilities: leave out 'n' and 'logprobs'.")
        farm = self._settings.farm
        if options.level == "clippy" and not (farm and farm.clippy):
            raise ApiError(
                "This server's compilers do not lint: 'verify.level' is check or test.", param="verify.level"
            )
        try:
            problem = await asyncio.to_thread(problem_of, options)
        except FarmError as error:
            raise api_error(error) from error
        if not body.stream:
            done = await verify(served.scheduler, judge, task, options, problem, repair)
            _demand(done, options)
            said = whole_choice(job, 0, job.echo(0) + done.chosen.text, done.chosen.finish_reason or "stop")
            answer = {**head_of(job), "choices": [said], "usage": usage_of(job, done.tokens)}
            return JSONResponse({**answer, "verification": done.document(options.return_all)})
        verdicts: asyncio.Queue[Candidate | None] = asyncio.Queue()
        work = asyncio.create_task(
            verify(served.scheduler, judge, task, options, problem, repair, on_verdict=verdicts.put_nowait)
        )
        work.add_done_callback(lambda _: verdicts.put_nowait(None))
        return StreamingResponse(_stream(job, options, work, verdicts), media_type="text/event-stream")

    def judge(self) -> Judging:
        """Who judges.

        Raises:
            ApiError: nobody does.
        """
        if self._judge is None:
            raise ApiError(
                "This server has no compilers. Start it with `ferrotype serve --verify`.",
                param="verify",
                code="verify_unavailable",
            )
        return self._judge


def add_check(app: FastAPI, verifying: Verifying, settings: ServeSettings) -> None:
    """Adds POST /v1/rust/check to `app`."""

    @app.post("/v1/rust/check", openapi_extra=documented_body(CheckRequest))
    async def check(request: Request) -> Response:
        body = await read_body(request, CheckRequest, settings.max_body_bytes)
        judge = verifying.judge()
        try:
            problem = Problem(body.entry or "", (), "()") if body.problem is None else read_problem(body.problem)
        except FarmError as error:
            raise api_error(error) from error
        submission = Submission(body.id or uuid.uuid4().hex, body.source, problem)
        verdict = await judge.judge(submission, body.deadline_seconds or CHECK_SECONDS)
        rendered = render(verdict, body.source, "check.rs", problem.entry)
        return JSONResponse({"object": "rust.check", **write_verdict(verdict), "rendered": rendered})


def models_of(models: Models, judge: Judging | None) -> list[tuple[str, Served]]:
    """The ids that may be asked for, aliases included."""
    ids = [(served.name, served) for served in models.all]
    return ids + [(served.name + ALIAS, served) for served in models.all if judge is not None]


def _warmed(first: Sampling, count: int) -> tuple[Sampling, ...]:
    def other(place: int) -> Sampling:
        seed = None if first.seed is None else first.seed + place
        return replace(first, temperature=first.temperature or WARM, seed=seed)

    return (first, *(other(place) for place in range(1, count)))


def _demand(done: Verified, options: VerifyOptions) -> None:
    """Refuse an answer that is not what was required.

    Raises:
        ApiError: 422 where no candidate is good; 503 where the compiler could not be asked.
    """
    if options.mode != "required" or done.status == "verified":
        return
    if done.status == "unverified":
        raise ApiError(
            f"No answer could be verified: {done.chosen.why_unjudged or 'the compilers are busy'}. Try again.",
            status=503,
            kind="server_error",
            code="verify_unavailable",
            retry_after_seconds=1,
        )
    error = ApiError(
        f"None of {len(done.candidates)} candidates is good ({options.level}).", status=422, code="verification_failed"
    )
    error.body["verification"] = done.document(options.return_all)
    raise error


async def _stream(
    job: Job, options: VerifyOptions, work: asyncio.Task[Verified], verdicts: asyncio.Queue[Candidate | None]
) -> AsyncGenerator[str, None]:
    """Each verdict as a comment, then the answer. Clients of OpenAI's API pass over comments."""
    try:
        while (candidate := await verdicts.get()) is not None:
            outcome = str(candidate.verdict.outcome) if candidate.verdict else "unverified"
            yield f": candidate {candidate.index} {outcome}\n\n"
        try:
            done = await work
            _demand(done, options)
        except ApiError as error:
            yield f"data: {json.dumps(error.body)}\n\n"
            return
        verification = done.document(options.return_all)
        yield choice_event(job, 0, job.echo(0) + done.chosen.text, None)
        yield choice_event(job, 0, "", done.chosen.finish_reason or "stop", verification=verification)
        if job.wants_usage:
            yield choice_event(job, None, "", None, usage=usage_of(job, done.tokens))
        yield "data: [DONE]\n\n"
    finally:
        work.cancel()
