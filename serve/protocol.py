"""OpenAI's requests, as far as a GGUF model can honour them.

Unknown fields are ignored, as OpenAI does. Known ones that would change the answer's meaning and can't be honoured
are refused by name, never dropped silently.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from serve.verify_protocol import VerifyOptions

MAX_CHOICES = 8
MAX_PROMPTS = 32
MAX_STOPS = 16
"""Bounds on the work that one request can ask for; OpenAI's own for stops is 4."""

UNSUPPORTED: dict[str, tuple[tuple[Any, ...], str]] = {
    "best_of": ((None, 1), "send n and choose among the answers yourself, or let the compiler choose: verify"),
    "tools": ((None, []), "this model was not trained to call tools"),
    "functions": ((None, []), "this model was not trained to call functions"),
    "tool_choice": ((None, "none", "auto"), "this model was not trained to call tools"),
    "function_call": ((None, "none", "auto"), "this model was not trained to call functions"),
    "response_format": ((None, {"type": "text"}), "answers are plain text"),
    "modalities": ((None, ["text"]), "answers are plain text"),
    "audio": ((None,), "answers are plain text"),
}
"""Fields that can't be honoured: the values that ask for nothing, and what to do instead of others."""

TokenIds = list[Annotated[int, Field(ge=0)]]


class StreamOptions(BaseModel):
    """What a stream says besides the text."""

    include_usage: bool = False


class _Request(BaseModel):
    """What both endpoints take. Types are strict: `"1"` is no number."""

    model_config = ConfigDict(strict=True, extra="ignore")

    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    min_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repeat_penalty: float | None = Field(default=None, gt=0, le=10)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(default=None, max_length=1024)
    seed: int | None = None
    stop: str | list[str] | None = Field(default=None)
    n: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    verify: VerifyOptions | None = None
    """Ours: how the compiler checks the answer."""

    @model_validator(mode="before")
    @classmethod
    def _read_llama_cpp_words(cls, fields: Any) -> Any:
        """llama.cpp's editors say `n_predict`, 0 for a prompt that is only to be read, and -1 for no bound."""
        if not isinstance(fields, dict):
            return fields
        words = {**fields}
        asked = words.pop("n_predict", None)
        if type(asked) is int and words.get("max_tokens") is None:
            words["max_tokens"] = asked or 1
        if words.get("max_tokens") == -1:
            del words["max_tokens"]
        return words

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, fields: Any) -> Any:
        for name, (harmless, advice) in UNSUPPORTED.items():
            if isinstance(fields, dict) and name in fields and fields[name] not in harmless:
                text = f"'{name}' is not supported: {advice}."
                raise PydanticCustomError("unsupported_parameter", "{text}", {"text": text, "param": name})
        return fields

    @model_validator(mode="after")
    def _check_lists(self) -> _Request:
        if len(self.stops) > MAX_STOPS:
            raise ValueError(f"'stop' takes at most {MAX_STOPS} strings.")
        if not all(token.isascii() and token.isdigit() for token in self.logit_bias or ()):
            raise ValueError("'logit_bias' maps token ids to numbers.")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings that end a completion; an empty one would end it at once and is left out."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(stop for stop in stops if stop)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class CompletionRequest(_Request):
    """`POST /v1/completions`."""

    prompt: str | list[str] | TokenIds | list[TokenIds]
    suffix: str | None = None
    """What follows the gap that is to be filled."""
    echo: bool | None = None
    """Whether the answer begins with the prompt."""
    logprobs: int | None = Field(default=None, ge=0, le=20)

    @model_validator(mode="after")
    def _check_prompts(self) -> CompletionRequest:
        if not 1 <= len(self.prompts) <= MAX_PROMPTS:
            raise ValueError(f"'prompt' takes 1 to {MAX_PROMPTS} prompts.")
        if self.echo and self.logprobs is not None:
            raise ValueError("'echo' gives no log-probabilities of the prompt: leave out 'echo' or 'logprobs'.")
        if self.suffix and not all(isinstance(prompt, str) for prompt in self.prompts):
            raise ValueError("'suffix' needs 'prompt' as text.")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        """One or more prompts, each text or token ids."""
        single = isinstance(self.prompt, str) or (len(self.prompt) > 0 and isinstance(self.prompt[0], int))
        return cast("list[str | list[int]]", [self.prompt] if single else self.prompt)


class TextPart(BaseModel):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(strict=True, extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one string."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(_Request):
    """`POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    @model_validator(mode="after")
    def _check_logprobs(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("'top_logprobs' needs 'logprobs': true.")
        return self


class ModelCard(BaseModel):
    """A served model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "ferrotype"


class ModelList(BaseModel):
    """`GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
