"""llama.cpp's own requests, as far as editors and tools send them: infill, tokenize, detokenize.

Unknown fields are ignored: editors send what only some servers know.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from serve.protocol import TokenIds

MAX_EXTRAS = 64
"""Snippets of other files that one infill request may bring."""


class _Native(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    model: str | None = None


class Extra(BaseModel):
    """A snippet of another file."""

    text: str
    filename: str = ""


class InfillRequest(_Native):
    """`POST /infill`: the text between `input_prefix` + `prompt` and `input_suffix`. Greedy unless told otherwise."""

    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[Extra] = Field(default=[], max_length=MAX_EXTRAS)
    prompt: str = ""
    """What stands on the cursor's line before it; it belongs to the prefix."""
    n_predict: int | None = Field(default=None, ge=-1)
    """Most tokens to write; 0 only reads the prompt, so that the next request is answered sooner."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, ge=0, le=1)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0.0, ge=0, le=1)
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    repeat_penalty: float = Field(default=1.0, gt=0, le=10)
    seed: int | None = None
    stop: list[Annotated[str, Field(min_length=1)]] = Field(default=[], max_length=16)
    stream: bool = False
    t_max_predict_ms: int = 0
    """Ends the answer at the first line that is whole after this time; 0 never does."""
    response_fields: list[str] = Field(default=[], max_length=64)
    """Only these fields are answered, `a/b` for field b of a."""


class TokenizeRequest(_Native):
    """`POST /tokenize`."""

    content: str
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeRequest(_Native):
    """`POST /detokenize`."""

    tokens: TokenIds
