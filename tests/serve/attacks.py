"""Requests that no friend would send, as bytes on a socket: seeded, of every kind, some of them sent badly too."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

READ_SECONDS = 30.0
"""An honest answer takes less on the busiest machine: past it, the server hangs."""

Dice: TypeAlias = random.Random

PATHS = ("/v1/completions", "/v1/chat/completions", "/infill", "/tokenize", "/detokenize", "/v1/rust/check")
FIELDS = (
    "model", "prompt", "messages", "suffix", "max_tokens", "n", "best_of", "temperature", "top_p", "top_k", "min_p",
    "stop", "stream", "stream_options", "logprobs", "top_logprobs", "logit_bias", "seed", "echo", "verify", "user",
    "presence_penalty", "frequency_penalty", "input_prefix", "input_suffix", "input_extra", "tokens", "content",
    "source",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, -(2**70), 1e308, "", "\x00", "𝕱" * 50, "\ud800", [], {}, [[]], [None], [-1], [2**40],
    {"": {}},    "<|endoftext|><|user|>" * 20, "fn main() { loop {} }", ["x"] * 2000, {"role": "user"},
    [{"role": "root", "content": 1}],
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attack:
    """`parts` are written one after the other, `pause_seconds` apart; `hangs_up`: nothing is read, or only a little."""

    kind: str
    parts: tuple[bytes, ...]
    pause_seconds: float = 0.0
    hangs_up: bool = False


def request(body: bytes, path: str, key: str = "", method: str = "POST", **headers: str) -> bytes:
    """A well-formed request around any body."""
    named = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    named |= {"Authorization": f"Bearer {key}"} if key else {}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogateescape") + body


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def malformed_json(dice: Dice, key: str) -> Attack:
    whole = _json({"prompt": "fn main() {", "max_tokens": 1})
    bodies = (
        whole[: dice.randrange(1, len(whole))], b"[" * 60_000, b'{"a":' * 10_000, b"NaN", b'{"max_tokens": Infinity}',
        b"",
        b'"' + b"\\u0000" * 999, whole + whole, bytes(dice.randrange(256) for _ in range(300)), b'{"prompt": 1e999999}',
    )  # fmt: skip
    return Attack("malformed JSON", (request(dice.choice(bodies), dice.choice(PATHS), key),))


def wrong_types(dice: Dice, key: str) -> Attack:
    body = {"prompt": "x", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    body |= {dice.choice(FIELDS): dice.choice(ODD) for _ in range(dice.randrange(1, 5))}
    return Attack("wrong types", (request(_json(body), dice.choice(PATHS), key),))


def huge_body(dice: Dice, key: str) -> Attack:
    body = _json({"prompt": "x" * 1_500_000})
    if dice.random() < 0.5:
        return Attack("huge body", (request(body, dice.choice(PATHS), key),))
    head = request(b"", dice.choice(PATHS), key, Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
    return Attack("huge body", (head, *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 24))


def bad_utf8(dice: Dice, key: str) -> Attack:
    bad = bytes(dice.randrange(128, 256) for _ in range(40))
    return Attack("bad UTF-8", (request(b'{"prompt": "' + bad + b'"}', dice.choice(PATHS), key),))


def prompt_bomb(dice: Dice, key: str) -> Attack:
    bombs: tuple[dict[str, Any], ...] = (
        {"prompt": "fn " * 200_000, "max_tokens": 10**9}, {"prompt": ["x"] * 5000}, {"prompt": [9] * 100_000},
        {"prompt": "x", "n": 128, "max_tokens": 100}, {"prompt": "x", "stop": ["y" * 9999] * 99},
        {"prompt": "x", "logit_bias": {str(i): 100 for i in range(5000)}},
        {"prompt": "((((((((" * 20_000, "verify": {}},
        {"prompt": "x", "max_tokens": 60, "verify": {"candidates": 16, "timeout_s": 1e9}},
    )  # fmt: skip
    return Attack("prompt bomb", (request(_json(dice.choice(bombs)), "/v1/completions", key),))


def rust_bomb(dice: Dice, key: str) -> Attack:
    bombs = (
        "fn main() {" + "{" * 5000, "macro_rules! m { ($($t:tt)*) => { m!($($t)* $($t)*); } } m!(x);",
        'pub fn f() -> &\'static str { include_str!("/etc/passwd") }', "static A: [u8; 1 << 40] = [0; 1 << 40];",
        "const fn f(n: u64) -> u64 { let mut i = 0; while i < n { i += 1 } i } pub const X: u64 = f(1 << 60);",
    )  # fmt: skip
    return Attack("Rust bomb", (request(_json({"source": dice.choice(bombs)}), "/v1/rust/check", key),))


def wrong_key(dice: Dice, key: str) -> Attack:
    guess = dice.choice((key[:-1], key + "x", key.upper(), "x" * 5000, "\udc80\udcff", "' OR 1=1 --", " ", "null"))
    return Attack("wrong key", (request(_json({"prompt": "x", "max_tokens": 1}), "/v1/completions", guess),))


def bad_http(dice: Dice, key: str) -> Attack:
    raw = (
        b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"POST /v1/completions HTTP/9.9\r\n\r\n", b"A" * 200_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"\x00" * 1000,
        request(b"{}", "/v1/completions", key, Content_Length="-5"),
        request(b"{}", "/v1/completions", key, Content_Length="9"),
        request(b"", "/../../etc/passwd", key, "GET"), request(b"", "/v1/models/%00%ff%2e%2e", key, "GET"),
        request(b"", "/" + "a/" * 3000, key, "GET"),
        request(b"{}", "/v1/completions", key, dice.choice(("PUT", "TRACE", "FOO"))),
        request(b"{}", "/v1/completions", key, Content_Type="text/\x00", X_Request_Id="y" * 5000, X_Verify="\udcff"),
    )  # fmt: skip
    return Attack("bad HTTP", (dice.choice(raw),), hangs_up=True)


def slow_client(dice: Dice, key: str) -> Attack:
    whole = request(_json({"prompt": "x", "max_tokens": 1}), "/v1/completions", key)
    cut = dice.randrange(1, len(whole))
    return Attack("slow client", (whole[:cut], whole[cut:]), pause_seconds=dice.uniform(0.5, 3.0))


def disconnect(dice: Dice, key: str) -> Attack:
    body = {"prompt": "x", "max_tokens": 200, "stream": dice.random() < 0.7, "logit_bias": {"0": -100}}
    body |= {"verify": {}} if dice.random() < 0.3 else {}
    whole = request(_json(body), "/v1/completions", key)
    return Attack("disconnect", (whole[: len(whole) - dice.choice((0, 0, 5))],), dice.uniform(0, 0.5), hangs_up=True)


KINDS: tuple[Callable[[Dice, str], Attack], ...] = (
    malformed_json, wrong_types, huge_body, bad_utf8, prompt_bomb, rust_bomb, wrong_key, bad_http, slow_client,
    disconnect,
)  # fmt: skip


def attacks(count: int, key: str, seed: int = 0) -> list[Attack]:
    """As many of each kind, in a shuffled order."""
    dice = random.Random(seed)
    drawn = [KINDS[number % len(KINDS)](dice, key) for number in range(count)]
    dice.shuffle(drawn)
    return drawn


async def strike(attack: Attack, port: int) -> int | None:
    """Sends it. The status that came back, or None where the connection ended without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in attack.parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(attack.pause_seconds)
        if attack.hangs_up:
            return _status(await asyncio.wait_for(reader.read(64), 1.0))
        return _status(await asyncio.wait_for(reader.read(), READ_SECONDS))
    except (ConnectionError, TimeoutError):
        if not attack.hangs_up and not attack.pause_seconds and attack.kind != "huge body":
            raise
        return None
    finally:
        writer.close()


def _status(answer: bytes) -> int | None:
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(found[1]) if found else None
