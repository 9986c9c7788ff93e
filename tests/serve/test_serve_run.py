"""The server as an operator runs it: a process of its own, with Ray Serve, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from running_server import ENDS_SECONDS, SERVER, Server, ends, free_port, marked, settings_of, start, started

from serve.errors import ServeError
from serve.run import run
from serve.settings import ServeSettings

LONG = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 240, "n": 8, "logit_bias": {"0": -100}}
"""About a second of work for two slots."""


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Server]:
    server = started(model_path)
    yield server
    if server.process.poll() is None:
        server.process.kill()
    ends(server)


@pytest.fixture(scope="module")
def killed(model_path: Path) -> Server:
    """One that got SIGKILL while Ray was starting."""
    server = start(model_path)
    deadline = time.monotonic() + 60
    while len(marked(server.mark)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.process.kill()
    return server


def test_a_server_can_be_killed_while_it_starts(killed: Server) -> None:
    assert killed.process.wait(ENDS_SECONDS) == -signal.SIGKILL


def test_the_documented_curl_works(server: Server) -> None:
    command = f"""curl -sS -X POST {server.url.replace("127.0.0.1", "localhost")}/v1/chat/completions \
      -H "Content-Type: application/json" \
      -d '{{
        "messages": [{{"role": "user", "content": "Write a Rust function to reverse a string"}}],
        "max_tokens": 256
      }}'"""
    answer = httpx.Response(200, content=subprocess.check_output(command, shell=True, timeout=30)).json()
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] > 0


def test_the_openai_client_works(server: Server) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    assert client.models.retrieve(model).owned_by == "ferrotype"
    done = client.completions.create(model=model, prompt="fn main() {", max_tokens=8, temperature=0, logprobs=1)
    assert done.usage is not None and done.usage.completion_tokens == 8
    messages = [{"role": "user", "content": "hi"}]
    whole = client.chat.completions.create(model=model, messages=messages, max_tokens=40, temperature=0)
    chunks = list(
        client.chat.completions.create(
            model=model, messages=messages, max_tokens=40, temperature=0, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="other", messages=messages)
    with pytest.raises(openai.BadRequestError, match="context is 256 tokens"):
        client.completions.create(model=model, prompt=[9] * 300)


def test_a_stream_comes_while_it_is_written(server: Server) -> None:
    def arrivals() -> list[float]:
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json={**LONG, "n": 1, "stream": True}) as answer:
            return [time.monotonic() for line in answer.iter_lines() if line]

    def spread(times: list[float]) -> bool:
        assert len(times) > 200
        return times[len(times) // 2] - times[0] > 0.2 * (times[-1] - times[0])

    # On a busy machine this process may not get to read for a while, and then reads all at once.
    assert any(spread(arrivals()) for _ in range(3))


def test_past_its_queue_the_server_refuses_with_429_and_still_says_that_it_is_healthy(server: Server) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(httpx.post(f"{server.url}/v1/chat/completions", json=LONG, timeout=60))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert httpx.get(f"{server.url}/health", timeout=30).json()["status"] == "ok"
    for thread in threads:
        thread.join()
    # Two slots and a queue of two hold four requests; a few more are taken if the first end before the last come.
    counts = Counter(answer.status_code for answer in answers)
    assert counts[200] + counts[429] == 12
    assert counts[200] >= 4 and counts[429] >= 2
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "overloaded"


async def leave(server: Server, body: dict[str, Any], times: int) -> None:
    """Asks so often at once, and hangs up as soon as an answer is being written."""
    async with httpx.AsyncClient(timeout=30) as client:
        asked = [asyncio.create_task(client.post(f"{server.url}/v1/chat/completions", json=body)) for _ in range(times)]
        while not await asyncio.to_thread(server.metric, "ferrotype_serve_running"):
            assert not all(each.done() for each in asked), "the answers came before they were seen to be written"
        for each in asked:
            each.cancel()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_its_completions(server: Server, stream: bool) -> None:
    server.wait_idle()
    written, cancelled = (f"ferrotype_serve_{name}_total" for name in ("completion_tokens", "cancelled"))
    before = server.metric(written), server.metric(cancelled)
    body, times = {**LONG, "stream": stream}, 1 if stream else 4
    if stream:
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body) as answer:
            next(answer.iter_lines())
    else:
        asyncio.run(leave(server, body, times))
    server.wait_idle()
    assert server.metric(cancelled) > before[1]
    # On a busy machine it takes a while to see that an answer is being written: four answers are seconds of work.
    assert server.metric(written) - before[0] < times * 8 * 240 * (0.5 if stream else 0.75)


def test_the_openai_client_gets_answers_that_the_compiler_has_checked(server: Server) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    token = httpx.post(f"{server.url}/tokenize", json={"content": "}"}).json()["tokens"][0]
    how = {"prompt": "pub fn one() -> i32 { 1 ", "max_tokens": 1, "logit_bias": {str(token): 100}}
    done = client.completions.create(model="tiny:verified", **how)
    assert done.choices[0].text == "}" and done.model_dump()["verification"]["status"] == "verified"
    with pytest.raises(openai.UnprocessableEntityError, match="None of 2 candidates"):
        client.completions.create(
            model="tiny", **{**how, "prompt": "pub fn one() -> bool { 1 "},
            extra_body={"verify": {"mode": "required", "candidates": 2}},
        )  # fmt: skip


def test_every_request_has_one_name(server: Server) -> None:
    for sent in ({}, {"X-Request-Id": "mine"}):
        names = httpx.get(f"{server.url}/health", headers=sent).headers.get_list("x-request-id")
        assert len(names) == 1 and names[0] == sent.get("X-Request-Id", names[0])


def test_sigterm_lets_answers_end_and_then_ends_cleanly(server: Server) -> None:
    assert len(marked(server.mark)) > 3
    server.wait_idle()
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json={**LONG, "stream": True}, timeout=30) as answer:
        lines = answer.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        *_, done = filter(None, lines)
    assert done == "data: [DONE]"
    output, _ = server.process.communicate(timeout=ENDS_SECONDS)
    assert (server.process.returncode, output) == (0, "")
    ends(server)


@pytest.mark.parametrize("fault", ["missing", "folder", "text", "truncated", "header only"])
def test_a_file_that_is_no_model_is_one_clear_error(model_path: Path, tmp_path: Path, fault: str) -> None:
    whole, path = model_path.read_bytes(), tmp_path / "bad.gguf"
    match fault:
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("fn main() {}")
        case "truncated":
            path.write_bytes(whole[:-5000])
        case "header only":
            path.write_bytes(whole[:24])
    expected = {"missing": "does not exist", "folder": "has no config.json", "text": "is not a GGUF file"}
    started = time.monotonic()
    with pytest.raises(ServeError, match=expected.get(fault, "is damaged or cut off")):
        run(ServeSettings(model=path, port=free_port()))
    assert time.monotonic() - started < 5


def test_a_port_in_use_is_one_clear_error_before_ray_starts(model_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        asked = settings_of(model_path, port).model_dump_json()
        done = subprocess.run([sys.executable, "-c", SERVER, asked], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout + done.stderr == (
        f"error: can't listen on 127.0.0.1:{port}: Address already in use. "
        "Stop what uses it, or give another --port or --host.\n"
    )


def test_a_model_that_llama_cpp_does_not_know_is_told_from_a_server_that_broke(
    model_path: Path, tmp_path: Path
) -> None:
    alien = tmp_path / "alien.gguf"
    alien.write_bytes(model_path.read_bytes().replace(b"llama", b"llamx"))
    server = start(alien)
    output, _ = server.process.communicate(timeout=90)
    assert server.process.returncode == 1
    assert "llama.cpp can't load" in output and "architecture llamx" in output
    assert "Traceback" not in output
    ends(server)


def test_the_killed_one_left_no_process_behind(killed: Server) -> None:
    """Last: Ray's agents take a while to see that their parent is gone."""
    ends(killed)


def test_settings_import_nothing_heavy() -> None:
    code = (
        "import sys, serve.settings; sys.exit(any(m in sys.modules for m in ('ray', 'fastapi', 'xllamacpp', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
