"""Who may ask, and how often: API keys known only by their hashes, each with its own rate.

Every hash is compared, in constant time, whichever fits. Rates are of one replica.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.errors import ApiError, KeyFileError
from serve.settings import ApiKey

OPEN_PATHS = frozenset({"/", "/health", "/ready", "/docs", "/openapi.json"})
"""What anybody may see: that the server lives, and how it is asked."""


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file with lines of `name sha256-of-the-key [requests-a-minute]`; `#` begins a comment.

    Raises:
        KeyFileError: the file is missing or empty, or a line is no such line.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"the file of API keys {path} can't be read: {error}") from error
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        fits = re.fullmatch(r"\S+ [0-9a-f]{64}( [1-9]\d{0,6})?", " ".join(words))
        if fits is None or words[0] in keys:
            why = "its name was there before" if fits else "it is no `name sha256 [requests-a-minute]`"
            raise KeyFileError(f"line {number} of {path}: {why}. `ferrotype key NAME` makes such lines.")
        keys[words[0]] = ApiKey(name=words[0], sha256=words[1], per_minute=int(words[2]) if words[2:] else None)
    if not keys:
        raise KeyFileError(f"the file of API keys {path} holds none. `ferrotype key NAME` makes one.")
    return tuple(keys.values())


def new_key(name: str, per_minute: int | None = None) -> tuple[str, str]:
    """A key for a client, and the line for the file of keys."""
    key = f"ft-{secrets.token_urlsafe(32)}"
    return key, " ".join(filter(None, (name, _hash(key), str(per_minute or ""))))


@dataclass(slots=True)
class _Bucket:
    """Requests left of one key: full at a minute's worth, refilled all the time."""

    left: float
    seen: float


class Gate:
    """Knows the keys, and counts what each asks."""

    def __init__(self, keys: Sequence[ApiKey], clock: Callable[[], float] = time.monotonic) -> None:
        self._keys, self._clock = tuple(keys), clock
        self._buckets = {key.name: _Bucket(key.per_minute, clock()) for key in keys if key.per_minute}

    def admit(self, authorization: str | None) -> None:
        """Let a request with this header pass.

        Raises:
            ApiError: 401 without a known key; 429 where its rate is used up.
        """
        scheme, _, presented = (authorization or "").partition(" ")
        digest = _hash(presented.strip())
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        if found is None or scheme.lower() != "bearer":
            raise ApiError(
                "No known API key. Send one as the header 'Authorization: Bearer <key>'.",
                status=401,
                kind="authentication_error",
                code="invalid_api_key",
            )
        if found.per_minute:
            self._take(found.name, found.per_minute)

    def _take(self, name: str, per_minute: int) -> None:
        bucket, now = self._buckets[name], self._clock()
        bucket.left = min(per_minute, bucket.left + (now - bucket.seen) * per_minute / 60)
        bucket.seen = now
        if bucket.left < 1:
            wait = max(1, ceil((1 - bucket.left) * 60 / per_minute))
            raise ApiError(
                f"The API key '{name}' may ask {per_minute} times a minute. Try again in {wait} s.",
                status=429,
                kind="rate_limit_error",
                code="rate_limit_exceeded",
                retry_after_seconds=wait,
            )
        bucket.left -= 1


class Guarded:
    """Asks every request for its key, but for the open paths and what a browser asks before it asks."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and scope["method"] != "OPTIONS":
            try:
                self._gate.admit(Headers(scope=scope).get("authorization"))
            except ApiError as error:
                return await JSONResponse(error.body, error.status, error.headers)(scope, receive, send)
        return await self._app(scope, receive, send)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
