"""A task: what the model is asked, how its answer is judged, and one answer known to be right."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from reward_farm.problem import Problem


class Split(StrEnum):
    """Where a task belongs. Nothing is ever trained on outside TRAIN."""

    TRAIN = "train"
    UNSEEN_TASKS = "unseen_tasks"
    """New tasks of the families that are trained on."""
    UNSEEN_FAMILIES = "unseen_families"
    """Tasks of families of which nothing is trained on: the held-out split."""
    VALIDATION = "validation"
    """Tasks of further such families, to choose checkpoints and settings by."""
    BENCHMARK = "benchmark"
    """Third parties' tasks."""


class Form(StrEnum):
    """How a task is put. Whoever asks decides between code and chat: any task has both `prompt` and `instruction`."""

    COMPLETE = "complete"
    """Go on after a doc comment and a signature."""
    INSTRUCT = "instruct"
    """A request in words."""
    FIM = "fim"
    """Fill the hole between `prompt` and `suffix`."""
    REPAIR = "repair"
    """Mend broken code; what rustc says of it is given."""


@dataclass(frozen=True, slots=True)
class Task:
    """One function to write.

    `prompt` is a doc comment and a signature that ends in `{` (not `{` and a newline: byte-level BPE splits that
    differently, and a model then compiles nothing); only `Form.FIM` ends elsewhere. `reference` ends in `}` and a
    newline where there is no `suffix`. `instruction` asks for the same in words, for chat.
    """

    id: str
    family: str
    split: Split
    prompt: str
    instruction: str
    reference: str
    problem: Problem
    difficulty: float = 0.5
    """0 easy to 1 hard, an estimate by its family's author."""
    tags: tuple[str, ...] = field(default=())
    draw: str = ""
    """The seed of which its family made it, so that it can get other hidden cases; empty if these are all."""
    form: Form = Form.COMPLETE
    suffix: str = ""
    """What follows the completion in its file."""

    answer: str = ""
    """A whole source file that is known to be right, where it does not begin as `prompt` does."""

    def source(self, completion: str) -> str:
        """The whole source file that a completion makes."""
        return self.prompt + completion + self.suffix

    @property
    def solved(self) -> str:
        """A whole source file that is known to be right; empty where none is known."""
        return self.answer or (self.source(self.reference) if self.reference else "")
