"""How tasks are put to the policy, and what file its answer stands for: code to go on with, or a chat. Pure.

A policy that is trained in chat is one that people will ask so: RL then also teaches it to answer with code alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from trainer.evaluation.extraction import extract
from trainer.evaluation.form import instruction
from trainer.evaluation.sample import PromptForm
from trainer.grpo.codec import PROMPTS_CACHED, Codec
from trainer.grpo.errors import NoChatTemplate
from trainer.grpo.settings import PromptName
from trainer.tasks.task import Task


class Asking:
    """A tokenizer with a form of asking. `eos_token_id` ends a completion."""

    def __init__(self, codec: Codec, prompts: PromptName) -> None:
        """Raises NoChatTemplate where a chat is wanted of a tokenizer that has none."""
        if prompts == "chat" and not codec.has_chat_template:
            raise NoChatTemplate(
                'grpo.prompts = "chat", and the model\'s tokenizer has no chat template. Take "code", or "auto".'
            )
        self._codec = codec
        self.chat = prompts == "chat" or (prompts == "auto" and codec.has_chat_template)
        self.eos_token_id = codec.eos_token_id
        self._chat_ids = lru_cache(PROMPTS_CACHED)(codec.encode_chat)

    def prompt_ids(self, task: Task) -> tuple[int, ...]:
        """Token ids of what the policy goes on after."""
        return self._chat_ids(instruction(task)) if self.chat else self._codec.encode(task.prompt)

    def answer_ids(self, task: Task) -> tuple[int, ...]:
        """Token ids of the answer that is known to be right, in the form asked for, and the end-of-text token."""
        known = f"```rust\n{task.solved.rstrip()}\n```" if self.chat else task.solved.removeprefix(task.prompt)
        return (*self._codec.encode_text(known), self.eos_token_id)

    def text(self, token_ids: Sequence[int]) -> str:
        """Text of a completion, without the end-of-text token."""
        ended = bool(token_ids) and token_ids[-1] == self.eos_token_id
        return self._codec.decode(token_ids[:-1] if ended else token_ids)

    def source(self, task: Task, text: str) -> str:
        """The file to judge: of a chat, the Rust in the answer."""
        return extract(task, text, PromptForm.CHAT).lenient if self.chat else task.source(text)
