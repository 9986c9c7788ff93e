"""What a client may ask of the compiler: the field `verify` of a request, the header `X-Verify`, the model's alias."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Mode: TypeAlias = Literal["off", "best_effort", "required"]
MODES: tuple[Mode, ...] = ("off", "best_effort", "required")
ALIAS = ":verified"
"""`<model>:verified` asks for best effort, for clients that can add neither field nor header."""


class VerifyOptions(BaseModel):
    """How an answer is verified. Unknown fields are refused: they would be mistakes."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

    mode: Mode = "best_effort"
    """`required` answers with 422 and the diagnostics if no candidate is good; `best_effort` with the best there is."""
    candidates: int = Field(default=4, ge=1, le=16)
    """Answers that are written at once; the first good one is taken, and the others are stopped."""
    level: Literal["check", "clippy", "test"] = "check"
    """What makes one good: it compiles; and without a lint; it passes `tests` or `problem`."""
    tests: str | None = Field(default=None, min_length=1)
    """Rust statements that call `entry`, with `assert!`, `assert_eq!` or `assert_ne!`."""
    entry: str | None = Field(default=None, min_length=1)
    """The function that must be defined."""
    problem: dict[str, Any] | None = None
    """{"entry", "params", "returns", "cases"}, as /v1/rust/check takes it, in place of `tests` and `entry`."""
    repair_rounds: int = Field(default=0, ge=0, le=3)
    """In chat: how often the model is shown what the compiler says, and asked again."""
    timeout_s: float = Field(default=30.0, gt=0, le=300)
    """Longest time for candidates and verdicts together; past it the answer is unverified."""
    return_all: bool = False
    """Whether all candidates are written to their end, judged and shown."""

    @model_validator(mode="after")
    def _check(self) -> VerifyOptions:
        if self.problem is not None and (self.tests or self.entry):
            raise ValueError("Give 'problem', or 'tests' and 'entry', not both.")
        if self.tests and not self.entry:
            raise ValueError("'tests' need 'entry', the function that they call.")
        if self.level == "test" and self.tests is None and self.problem is None:
            raise ValueError("The level 'test' needs 'tests' and 'entry', or a 'problem'.")
        return self
