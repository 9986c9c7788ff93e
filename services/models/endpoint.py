"""A model behind OpenAI's HTTP API. Its weights are out of sight, so a result names it, and vouches for no more."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

from services.errors import UserError
from services.models.model import STOPS, Model, label_of
from trainer.evaluation.answers import generation
from trainer.evaluation.evaluation import ModelFacts
from trainer.evaluation.form import PromptForms, Wanted, instruction
from trainer.evaluation.sample import Generation, PromptForm, SamplePlan

TRIES = 5
"""Of a question that the server is too busy for, or on which the connection breaks; each waits twice as long."""
ANSWER_SECONDS = 600.0
CONNECT_SECONDS = 10.0
MAX_STOPS = 4
"""As many as OpenAI's API takes."""


class EndpointError(UserError):
    """The endpoint can't be asked."""


def endpoint_model(url: str, name: str | None, wanted: Wanted, max_tokens: int, at_once: int) -> Model:
    """Raises EndpointError if there is no such API, or if it has several models and none is named."""
    if not url.startswith(("http://", "https://")):
        raise EndpointError(f"{url!r} is no URL of an API. Give one such as http://127.0.0.1:8080/v1.")
    base = url.rstrip("/")
    base = base if base.endswith("/v1") else f"{base}/v1"
    key = os.environ.get("OPENAI_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    name = name or _only_model(base, headers)
    # Nobody can look into its tokenizer; every such server has chat, and `--form base` asks for code to go on with.
    forms = PromptForms(wanted, has_chat=True)
    clients: list[httpx.AsyncClient] = []

    async def answer(client: httpx.AsyncClient, places: asyncio.Semaphore, plan: SamplePlan) -> Generation:
        body: dict[str, Any] = {
            "model": name, "max_tokens": max_tokens, "temperature": plan.temperature, "seed": plan.seed,
        }  # fmt: skip
        if plan.form is PromptForm.CHAT:
            body["messages"] = [{"role": "user", "content": instruction(plan.task)}]
            path = "/chat/completions"
        else:
            body |= {"prompt": forms.text(plan.task), "stop": list(STOPS[:MAX_STOPS])}
            path = "/completions"
        async with places:
            begin = time.perf_counter()
            answered = await _post(client, base + path, body)
            elapsed = (time.perf_counter() - begin) * 1000
        try:
            choice = answered["choices"][0]
            text = choice["message"]["content"] if plan.form is PromptForm.CHAT else choice["text"]
        except (LookupError, TypeError) as error:
            raise EndpointError(f"{base}{path} answers in another form than OpenAI's API: {answered!r:.200}") from error
        return generation(
            plan,
            text or "",
            tokens=int((answered.get("usage") or {}).get("completion_tokens") or 0),
            truncated=choice.get("finish_reason") == "length",
            latency_ms=elapsed,
        )

    async def answers(plans: Sequence[SamplePlan]) -> AsyncIterator[Generation]:
        if not clients:
            clients.append(
                httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS))
            )
        places = asyncio.Semaphore(at_once)
        asked = [asyncio.create_task(answer(clients[0], places, plan)) for plan in plans]
        try:
            for answered in asyncio.as_completed(asked):
                yield await answered
        finally:
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def close() -> None:
        for client in clients:
            await client.aclose()

    where = f"{name} at {base}"
    sha256 = hashlib.sha256(where.encode()).hexdigest()
    return Model(label_of(name), where, sha256, ModelFacts(kind="endpoint"), forms, answers, close)


def _only_model(base: str, headers: dict[str, str]) -> str:
    try:
        answered = httpx.get(f"{base}/models", headers=headers, timeout=CONNECT_SECONDS)
        answered.raise_for_status()
        names = [str(model["id"]) for model in answered.json()["data"]]
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise EndpointError(
            f"{base}/models gives no list of models ({error or type(error).__name__}). Is the server up? "
            "Else name the model: --model NAME."
        ) from error
    if len(names) != 1:
        raise EndpointError(f"{base} serves {', '.join(names) or 'no model'}: say which with --model NAME.")
    return names[0]


async def _post(client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> Any:
    for number in range(TRIES):
        last = number == TRIES - 1
        try:
            answered = await client.post(url, json=body)
        except httpx.HTTPError as error:
            if last:
                raise EndpointError(
                    f"{url} can't be reached ({error or type(error).__name__}). What was answered is kept: run the "
                    "same command again once the server is up."
                ) from error
        else:
            if answered.status_code == 200:
                try:
                    return answered.json()
                except ValueError as error:
                    raise EndpointError(f"{url} answers with no JSON: {answered.text[:200]!r}") from error
            busy = answered.status_code in (429, 500, 502, 503, 504)
            if last or not busy:
                raise EndpointError(f"{url} refuses ({answered.status_code}): {answered.text[:300]}")
        await asyncio.sleep(0.5 * 2**number)
    raise AssertionError("the last try returns or raises")
