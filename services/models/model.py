"""A model that can be evaluated, wherever it runs: who it is, how it is asked, and a function that has it answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trainer.evaluation.answers import Answers
from trainer.evaluation.evaluation import ModelFacts
from trainer.evaluation.form import PromptForms


@dataclass(frozen=True, slots=True)
class Model:
    """Nothing is started before `answers` is called; `close` ends what was."""

    label: str
    where: str
    sha256: str
    facts: ModelFacts
    forms: PromptForms
    answers: Answers
    close: Callable[[], Awaitable[None]]


STOPS = ("\nfn main", "\n#[cfg(test)]", "\n```")
"""Where an engine may stop writing code to go on with: no extraction takes anything from there on."""


def label_of(text: str) -> str:
    """A name for files."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "model"
