"""How tasks are put to a model, chosen from what its tokenizer knows, and said to who reads the result. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.sample import PromptForm
from trainer.tasks.task import Task

Wanted: TypeAlias = Literal["auto", "base", "chat", "fim"]

FIM_MARKERS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("<PRE>", "<SUF>", "<MID>"),
)
"""What families of models write before the prefix, the suffix and the hole."""


@dataclass(frozen=True, slots=True)
class PromptForms:
    """What a model can be asked in, and what was wanted."""

    wanted: Wanted = "base"
    has_chat: bool = False
    markers: tuple[str, str, str] | None = None
    why: str = "as asked"
    """The reason for anything but auto."""

    def __post_init__(self) -> None:
        if self.wanted == "chat" and not self.has_chat:
            raise EvaluationError("the model has no chat template, so it can't be asked in chat. Take --form base.")
        if self.wanted == "fim" and self.markers is None:
            raise EvaluationError("the model's tokenizer has no fill-in-the-middle markers. Take --form base.")

    def form_of(self, task: Task) -> PromptForm:
        """How this task is put."""
        if self.wanted in ("auto", "fim") and task.suffix and self.markers:
            return PromptForm.FIM
        return (
            PromptForm.CHAT if self.wanted == "chat" or (self.wanted == "auto" and self.has_chat) else PromptForm.BASE
        )

    def text(self, task: Task) -> str:
        """The prompt in the forms that are plain text."""
        if self.form_of(task) is PromptForm.FIM and self.markers is not None:
            before, after, hole = self.markers
            return f"{before}{task.prompt}{after}{task.suffix}{hole}"
        return task.prompt

    @property
    def said(self) -> str:
        """The choice and its reason, in words."""
        if self.wanted != "auto":
            return f"{self.wanted} prompts, {self.why}"
        holes = "; fill-in-the-middle where a task has a hole" if self.markers else ""
        if self.has_chat:
            return f"chat prompts, for the tokenizer has a chat template{holes}"
        return f"base prompts (code to go on with), for the tokenizer has no chat template{holes}"


def find_markers(is_token: Callable[[str], bool]) -> tuple[str, str, str] | None:
    """The fill-in-the-middle markers that are all tokens of a vocabulary."""
    return next((markers for markers in FIM_MARKERS if all(map(is_token, markers))), None)


def instruction(task: Task) -> str:
    """The request in words, with the signature, without which no test can call the answer."""
    if task.problem.entry in task.instruction and "fn " in task.instruction:
        return task.instruction
    return f"{task.instruction}\n\nWrite the whole Rust function in one code block:\n\n```rust\n{task.prompt}\n```"
