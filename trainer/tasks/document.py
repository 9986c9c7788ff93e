"""Solved tasks as text to train on. Draws from the training split alone, by meaning: nothing evaluated on slips in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from trainer.tasks.families import FAMILIES
from trainer.tasks.family import Family
from trainer.tasks.task import Split
from trainer.tasks.wording import Wording, phrase, split_of

END = "<|endoftext|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"


@dataclass(frozen=True, slots=True)
class TaskDocument:
    """One solved task. `text` holds special tokens as their strings and ends with the end-of-text token."""

    family: str
    prompt: str
    text: str
    chat: bool


def training_documents(
    seed: int,
    count: int,
    chat_share: float = 0.2,
    families: Sequence[Family] = FAMILIES,
    max_difficulty: float = 1.0,
) -> Iterator[TaskDocument]:
    """`count` solved training tasks, as code or (`chat_share` of them) as chat. One seed, one sequence."""
    rng = Random(f"documents:{seed}")
    trained = [each for each in families if each.split is Split.TRAIN and each.difficulty <= max_difficulty]
    while count > 0:
        family = rng.choice(trained)
        draft = family.make(rng)
        if split_of(family, draft) is not Split.TRAIN:
            continue
        worded = phrase(draft, rng)
        chat = rng.random() < chat_share
        yield TaskDocument(family.name, worded.prompt, chat_text(worded) if chat else code_text(worded), chat)
        count -= 1


def code_text(worded: Wording) -> str:
    """A source file."""
    return f"{worded.prompt}{worded.reference}{END}"


def chat_text(worded: Wording) -> str:
    """A request and a source file, as the chat template renders them."""
    return f"{USER}{worded.instruction}{ASSISTANT}{worded.prompt}{worded.reference}{END}"
