"""Solved tasks in the form in which RL asks them: what a model that was given reads before RL, if it earns nothing yet.

A group whose completions all earn nothing teaches nothing. Some steps on answers that are known to be right bring such
a model to where RL has something to choose from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.corpus.token_file import TokenView
from trainer.grpo.asking import Asking
from trainer.tasks.task import Task


def demonstrations(asking: Asking, tasks: Sequence[Task]) -> TokenView:
    """(N,) token ids: of each task that has an answer, the question, the answer and the end-of-text token."""
    rows = [(*asking.prompt_ids(task), *asking.answer_ids(task)) for task in tasks if task.solved]
    bounds = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return TokenView(np.array([token for row in rows for token in row], np.uint32), bounds)
