"""What can go wrong: `ServeError` is for the operator, before the server is up; `ApiError` for a client."""

from __future__ import annotations

from functools import partial
from typing import Any


class ServeError(Exception):
    """The server can't start. Its text says what, where, and what to do."""


class ModelFileError(ServeError):
    """The model's file or folder is missing, is no model, or is damaged."""


class KeyFileError(ServeError):
    """The file of API keys can't be used."""


class AddressError(ServeError):
    """The address can't be listened on."""


class EngineError(Exception):
    """An engine refused a model or a request (`status` 4xx), or failed at it."""

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(message)
        self.status = status


class ApiError(Exception):
    """A request that is answered with an error, in OpenAI's shape: `{"error": {message, type, param, code}}`."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind, self.param, self.code = kind, param, code
        self.retry_after_seconds = retry_after_seconds
        self.headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
        self.body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def __reduce__(self) -> tuple[Any, ...]:
        fields: dict[str, Any] = {"status": self.status, "kind": self.kind, "param": self.param, "code": self.code,
                  "retry_after_seconds": self.retry_after_seconds}  # fmt: skip
        return partial(ApiError, **fields), (str(self),)


class Overloaded(ApiError):
    """Every slot is taken and the queue is full."""

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"The server is overloaded: {waiting} requests are waiting. Try again in a second.",
            status=429,
            kind="rate_limit_error",
            code="overloaded",
            retry_after_seconds=1,
        )
