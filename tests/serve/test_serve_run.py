"""The server as an operator runs it: a process of its own, with Ray Serve, until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from serve.errors import ServeError
from serve.run import run
from serve.settings import ServeSettings

SERVER = """
import sys
from pathlib import Path
from serve.errors import ServeError
from serve.run import run
from serve.settings import ServeSettings

try:
    run(ServeSettings(model=Path(sys.argv[1]), port=int(sys.argv[2]), name="tiny", slots=2, max_queue=2))
except ServeError as error:
    sys.exit(f"error: {error}")
"""

LONG = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 240, "n": 8, "logit_bias": {"0": -100}}
"""About a second of work for two slots."""


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    url: str
    mark: str

    def metric(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split()[0] == name)

    def wait_idle(self) -> None:
        deadline = time.monotonic() + 10
        while self.metric("ferrotype_serve_running") + self.metric("ferrotype_serve_waiting"):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(model: Path) -> Server:
    """Everything that the server starts inherits a mark in its environment, by which it can be found."""
    port, mark = free_port(), f"FERROTYPE_TEST={uuid.uuid4().hex}"
    key, value = mark.split("=")
    environment = {**os.environ, key: value, "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(model), str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return Server(process, f"http://127.0.0.1:{port}", mark)


def marked(mark: str) -> list[str]:
    """Command lines of the running processes that carry the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes() and (folder / "cmdline").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:80])
        except OSError:
            continue
    return found


def ends(server: Server, seconds: float) -> None:
    """The process and all that it started are gone within `seconds`."""
    deadline = time.monotonic() + seconds
    server.process.wait(seconds)
    while left := marked(server.mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Server]:
    server = start(model_path)
    assert server.process.stdout is not None
    line = server.process.stdout.readline()
    assert line == f"Serving tiny at {server.url}/v1 (Ctrl-C stops it)\n", line + server.process.stdout.read()
    yield server
    if server.process.poll() is None:
        server.process.kill()
    ends(server, 60)  # Ray's agents look for their parent now and then


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


def test_past_its_queue_the_server_refuses_with_503_and_still_says_that_it_is_healthy(server: Server) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(httpx.post(f"{server.url}/v1/chat/completions", json=LONG, timeout=60))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert httpx.get(f"{server.url}/health", timeout=5).json()["status"] == "ok"
    for thread in threads:
        thread.join()
    # Two slots and a queue of two hold four requests; a few more are taken if the first end before the last come.
    counts = Counter(answer.status_code for answer in answers)
    assert counts[200] + counts[503] == 12
    assert counts[200] >= 4 and counts[503] >= 2
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "overloaded"


async def leave(server: Server, body: dict[str, Any]) -> None:
    """Asks, and hangs up as soon as the answer is being written."""
    async with httpx.AsyncClient(timeout=30) as client:
        asked = asyncio.create_task(client.post(f"{server.url}/v1/chat/completions", json=body))
        while not await asyncio.to_thread(server.metric, "ferrotype_serve_running"):
            assert not asked.done(), "the answer came before it was seen to be written"
        asked.cancel()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_its_completions(server: Server, stream: bool) -> None:
    server.wait_idle()
    written, cancelled = (f"ferrotype_serve_{name}_total" for name in ("completion_tokens", "cancelled"))
    before = server.metric(written), server.metric(cancelled)
    body = {**LONG, "stream": stream}
    if stream:
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body) as answer:
            next(answer.iter_lines())
    else:
        asyncio.run(leave(server, body))
    server.wait_idle()
    assert server.metric(cancelled) > before[1]
    assert server.metric(written) - before[0] < 8 * 240 / 2


def test_sigterm_ends_it_cleanly(server: Server) -> None:
    assert len(marked(server.mark)) > 3
    server.process.send_signal(signal.SIGTERM)
    output, _ = server.process.communicate(timeout=30)
    assert (server.process.returncode, output) == (0, "")
    ends(server, 10)


def test_killed_it_leaves_no_process_behind(model_path: Path) -> None:
    server = start(model_path)
    deadline = time.monotonic() + 30
    while len(marked(server.mark)) < 4:  # Ray is starting
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.process.kill()
    ends(server, 60)  # Ray's agents look for their parent now and then


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
    expected = {"missing": "does not exist", "folder": "is a folder", "text": "is not a GGUF file"}
    started = time.monotonic()
    with pytest.raises(ServeError, match=expected.get(fault, "is damaged or cut off")):
        run(ServeSettings(model=path, port=free_port()))
    assert time.monotonic() - started < 5


def test_a_port_in_use_is_one_clear_error_before_ray_starts(model_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = f"import sys; sys.argv[1:] = [{str(model_path)!r}, '{port}']\n{SERVER}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
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
    ends(server, 10)


def test_settings_import_nothing_heavy() -> None:
    code = (
        "import sys, serve.settings; sys.exit(any(m in sys.modules for m in ('ray', 'fastapi', 'xllamacpp', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
