"""Requests of the judge's API. Types are strict, and unknown fields are refused: they would be mistakes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from serve.protocol import Message

MAX_COMPLETIONS = 256
"""Of one request: sixteen batches, some seconds of one worker."""
MAX_ID_CHARACTERS = 200


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    id: str | None = Field(default=None, min_length=1, max_length=MAX_ID_CHARACTERS)
    """The caller's own: sent again with the same content, it gets the same verdict and costs nothing."""
    deadline_seconds: float | None = Field(default=None, gt=0, le=600)
    """Longest wait; None takes the server's own."""


class CheckRequest(_Request):
    """`POST /v1/rust/check`: one source file, as it is."""

    source: str
    entry: str | None = None
    """A function that it must define."""
    problem: dict[str, Any] | None = None
    """{"entry", "params", "returns", "cases"}: its hidden cases are asked too."""

    @model_validator(mode="after")
    def _check_one(self) -> CheckRequest:
        if self.entry is not None and self.problem is not None:
            raise ValueError("Give 'entry' or 'problem', not both: a problem has an entry.")
        return self


class RewardsRequest(_Request):
    """`POST /v1/rewards`: what a model wrote for one problem. The Rust is found in it as `reward_farm.answer` says."""

    problem: dict[str, Any]
    prompt: str = ""
    """What began the function, where completions go on from it."""
    completions: list[str | Annotated[list[Message], Field(min_length=1)]] = Field(
        min_length=1, max_length=MAX_COMPLETIONS
    )
