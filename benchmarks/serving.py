"""How fast answers are served: `python -m benchmarks.serving`.

The same requests go in turn to `ferrotype serve`, over HTTP and through Ray Serve, and to llama.cpp by itself in a
process without any server, and with --rival to llama-cpp-python's server. Each has the same file, threads and slots,
and is idle while another is asked. Figures are worth something on a machine that is idle otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.serving_model import words, write_models

CLIENTS = 8
START_SECONDS = 180
ANSWER_SECONDS = 120
Times = list[tuple[float, float]]


class Arm(Protocol):
    """Whoever answers."""

    def ask(self, requests: list[dict[str, Any]]) -> tuple[Times, float]:
        """Answer all at once: seconds to the first and to the last piece of each, and of all together."""
        ...


class Bare:
    """llama.cpp without a server."""

    def __init__(self, model: Path, options: argparse.Namespace) -> None:
        settings = [str(CLIENTS), str(options.threads), str(options.context)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare_llama_cpp", str(model), *settings],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, requests: list[dict[str, Any]]) -> tuple[Times, float]:
        """See `Arm`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(requests) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("bare "):
                answer = json.loads(line.removeprefix("bare "))
                return [(first, last) for first, last in answer["times"]], answer["seconds"]
        raise RuntimeError("llama.cpp has ended")


class Http:
    """A server."""

    def __init__(self, command: list[str], port: int, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._port, self._loop = port, asyncio.new_event_loop()

    def wait(self) -> None:
        """Until it answers."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                self.ask([{"prompt": "a", "max_tokens": 1, "stream": True}])
                return
            except (OSError, RuntimeError, asyncio.IncompleteReadError):
                time.sleep(0.5)
        raise RuntimeError(f"no server within {START_SECONDS} s: {self.process.args!r}")

    def ask(self, requests: list[dict[str, Any]]) -> tuple[Times, float]:
        """See `Arm`."""

        async def all_at_once() -> tuple[Times, float]:
            # Opened before the clock starts, and for these requests alone: servers hang up on idle ones when they like.
            links = [await asyncio.open_connection("127.0.0.1", self._port) for _ in requests]
            try:
                begun = time.perf_counter()
                times = await asyncio.gather(
                    *(_answer(*link, each) for link, each in zip(links, requests, strict=True))
                )
                return list(times), time.perf_counter() - begun
            finally:
                for _, writer in links:
                    writer.close()

        return self._loop.run_until_complete(asyncio.wait_for(all_at_once(), ANSWER_SECONDS))


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: dict[str, Any]
) -> tuple[float, float]:
    begun, first = time.perf_counter(), 0.0
    raw = json.dumps(body).encode()
    kind = f"Content-Type: application/json\r\nContent-Length: {len(raw)}"
    writer.write(f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n{kind}\r\n\r\n".encode() + raw)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in answer.split(b"\r\n")[0]:
        raise RuntimeError(answer.decode())
    if b"content-length:" in answer:
        length = int(answer.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        now = time.perf_counter() - begun
        return now, now
    while size := int(await reader.readline(), 16):
        await reader.readexactly(size + 2)
        first = first or time.perf_counter() - begun
    await reader.readexactly(2)
    return first, time.perf_counter() - begun


@dataclass
class Measured:
    """What an arm needed, round by round."""

    first_token: list[float] = field(default_factory=list)
    short: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    """Tokens a second of one client."""
    together: list[float] = field(default_factory=list)
    """Tokens a second of eight."""


def request(seed: int, tokens: int, options: argparse.Namespace, stream: bool = True) -> dict[str, Any]:
    """A prompt that nobody asked before, of about as many tokens as words were chosen to make."""
    body = {
        "prompt": words(seed, options.prompt_words),
        "max_tokens": tokens,
        "temperature": 0,
        "top_k": 0,
        "top_p": 1,
        "min_p": 0,
    }
    # A drawn model may end its text; then arms would do different work.
    return {**body, "stream": stream, "logit_bias": {"0": -100}}


def bare_request(body: dict[str, Any]) -> dict[str, Any]:
    """The same in llama.cpp's own words."""
    return {**body, "logit_bias": [[0, -100]], "cache_prompt": True}


def one_round(number: int, arms: dict[str, Arm], found: dict[str, Measured], options: argparse.Namespace) -> None:
    """Every kind of work to every arm in turn, each the first as often as the others."""
    names = list(arms)
    turn = names[number % len(names) :] + names[: number % len(names)]

    def each(work: Callable[[Callable[[list[dict[str, Any]]], tuple[Times, float]], Measured], None]) -> None:
        for name in turn:
            arm = arms[name]
            translate = bare_request if isinstance(arm, Bare) else dict

            def ask(requests: list[dict[str, Any]], arm: Arm = arm, to: Any = translate) -> tuple[Times, float]:
                return arm.ask([to(body) for body in requests])

            work(ask, found[name])

    seed = 1_000_000 * (number + 1)

    def first_token(ask: Any, into: Measured) -> None:
        for place in range(options.repeats):
            [(first, _)], _ = ask([request(seed + place, 1, options)])
            into.first_token.append(first)

    def short(ask: Any, into: Measured) -> None:
        body = request(seed + 999, 16, options, stream=False)
        ask([body])
        for _ in range(options.repeats):
            [(_, last)], _ = ask([body])
            into.short.append(last)

    def single(ask: Any, into: Measured) -> None:
        _, seconds = ask([request(seed + 2000, 128, options)])
        into.single.append(128 / seconds)

    def together(ask: Any, into: Measured) -> None:
        _, seconds = ask([request(seed + 3000 + client, 64, options) for client in range(CLIENTS)])
        into.together.append(CLIENTS * 64 / seconds)

    for work in (first_token, short, single, together):
        each(work)


def figures(found: dict[str, Measured]) -> dict[str, Any]:
    """Medians of every arm, and ours beside the others, round by round."""
    median = statistics.median
    said: dict[str, Any] = {
        name: {
            "first_token_ms": round(median(measured.first_token) * 1000, 1),
            "short_completion_ms": round(median(measured.short) * 1000, 1),
            "tokens_per_second": round(median(measured.single), 1),
            "tokens_per_second_of_8": round(median(measured.together), 1),
        }
        for name, measured in found.items()
    }
    ours = found["ferrotype"]
    for name, other in found.items():
        if other is not ours:
            said[f"ferrotype beside {name}"] = {
                "first_token_ms_more": round((median(ours.first_token) - median(other.first_token)) * 1000, 2),
                "short_completion_ms_more": round((median(ours.short) - median(other.short)) * 1000, 2),
                "share_of_tokens_per_second": _share(ours.single, other.single),
                "share_of_tokens_per_second_of_8": _share(ours.together, other.together),
            }
    return said


def _share(ours: list[float], others: list[float]) -> list[float]:
    """The median of each round's, and the range."""
    shares = [mine / other for mine, other in zip(ours, others, strict=True)]
    return [round(share, 3) for share in (statistics.median(shares), min(shares), max(shares))]


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ours(model: Path, options: argparse.Namespace) -> Http:
    port = _port()
    command = [sys.executable, "-m", "services", "serve", "--model", str(model), "--port", str(port)]
    bounds = ["--slots", str(CLIENTS), "--threads", str(options.threads), "--context-length", str(options.context)]
    return Http([*command, *bounds], port)


def _rival(model: Path, options: argparse.Namespace) -> Http:
    port = _port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--port", str(port)]
    bounds = ["--n_ctx", str(options.context), "--n_threads", str(options.threads)]
    bounds += ["--n_threads_batch", str(options.threads), "--interrupt_requests", "false"]
    return Http([*command, *bounds], port, {"PYTHONPATH": os.pathsep.join(options.rival)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("serving-benchmark"), help="where the model is written")
    parser.add_argument("--threads", type=int, default=1, help="of each engine; no more than there are free cores")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--prompt-words", type=int, default=11, help="words of a prompt; 11 make about 30 tokens")
    parser.add_argument("--repeats", type=int, default=5, help="requests of one client in a round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--rival", nargs="+", help="folders with llama-cpp-python and what its server imports")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    packed, whole = write_models(options.work)
    arms: dict[str, Arm] = {}
    with ExitStack() as stack:
        bare, ours = Bare(packed, options), _ours(packed, options)
        servers = [ours] + ([_rival(packed, options)] if options.rival else [])
        for process in (bare.process, *(server.process for server in servers)):
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
        for server in servers:
            server.wait()
        arms = {"bare llama.cpp": bare, "ferrotype": ours}
        if options.rival:
            arms["llama-cpp-python"] = servers[1]
        found = {name: Measured() for name in arms}
        one_round(0, arms, {name: Measured() for name in arms}, options)  # everything is warm before anything counts
        for number in range(options.rounds):
            one_round(number + 1, arms, found, options)
    sizes = {"ternary_mb": packed.stat().st_size / 1e6, "f16_mb": whole.stat().st_size / 1e6}
    smaller = 1 - packed.stat().st_size / whole.stat().st_size
    answer = {"file": {**sizes, "smaller_by": smaller}, **figures(found)}
    print(json.dumps(answer, indent=1))
    if options.json:
        options.json.write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
