"""What a client is told of the reward farm's errors."""

from __future__ import annotations

from reward_farm.errors import (
    BadProblem,
    BadValue,
    BreakerOpen,
    DeadlineExceeded,
    FarmError,
    IdConflict,
    Overloaded,
    UnsupportedType,
)
from serve.errors import ApiError

RETRY_SECONDS = 1
"""A full queue of the default size drains in some seconds; the first places in it are free long before."""


def api_error(error: FarmError) -> ApiError:
    """What a client is told of the farm's error."""
    text = f"{str(error)[:1].upper()}{str(error)[1:]}."
    match error:
        case BadProblem() | BadValue() | UnsupportedType():
            return ApiError(text, param="problem", code="bad_problem")
        case IdConflict():
            return ApiError(text, status=409, param="id", code="id_conflict")
        case Overloaded():
            return ApiError(
                text, status=429, kind="rate_limit_error", code="overloaded", retry_after_seconds=RETRY_SECONDS
            )
        case DeadlineExceeded():
            return ApiError(text, status=504, kind="server_error", code="deadline_exceeded")
        case BreakerOpen():
            wait = max(1, round(error.retry_after))
            return ApiError(text, status=503, kind="server_error", code="breaker_open", retry_after_seconds=wait)
    return ApiError(text, status=503, kind="server_error", code="farm_unavailable")
