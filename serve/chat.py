"""Turns the messages of a chat into a prompt, with the template that the model file itself carries."""

from __future__ import annotations

from collections.abc import Sequence

from serve.engine import Engine
from serve.errors import ApiError, EngineError
from serve.protocol import Message


def chat_prompt(engine: Engine, messages: Sequence[Message]) -> str:
    """The prompt that the model was trained to answer `messages` after.

    Raises:
        ApiError: the model has no template, or its template refuses the order of the messages.
    """
    if not engine.file.has_chat_template:
        raise ApiError(
            "This model has no chat template. Use /v1/completions.", code="no_chat_template", param="messages"
        )
    # Templates know `system`; `developer` is OpenAI's newer name for it.
    roles = {"developer": "system"}
    turns = [{"role": roles.get(message.role, message.role), "content": message.text} for message in messages]
    try:
        return engine.render_chat(turns)
    except EngineError as error:
        raise ApiError(f"The model's chat template refuses these messages: {error}", param="messages") from error
