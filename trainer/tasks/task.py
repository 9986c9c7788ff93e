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
    """Tasks of families of which nothing is trained on."""


@dataclass(frozen=True, slots=True)
class Task:
    """One function to write.

    `prompt` is a doc comment and a signature that ends in `{` (not `{` and a newline: byte-level BPE splits that
    differently, and a model then compiles nothing). `prompt + reference` is a whole source file; `reference` ends in
    `}` and a newline. `instruction` asks for the same in words, for chat.
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
