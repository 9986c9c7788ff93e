"""The farm as a reward function of TRL's GRPOTrainer. Imports nothing of TRL's: only the signature is shared.

    GRPOTrainer(..., reward_funcs=RustReward(), train_dataset=rows with the columns "prompt" and "problem")

A row's `problem` is a problem's JSON document (`reward_farm.document`), as text: Arrow would unify objects' fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reward_farm.scoring import Asked, scorer
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Scored, Verdict


class RustReward:
    """Points of each completion, 0 to 30 times `scale`; None where the fault is ours, which TRL leaves out.

    `problem` judges every row by one problem; else each row's column named `column` holds its own.
    """

    __name__ = "rust_reward"
    """What TRL calls it in its logs."""

    def __init__(
        self,
        problem: Asked | None = None,
        *,
        column: str = "problem",
        scale: float = 1.0,
        settings: FarmSettings | None = None,
    ) -> None:
        self._problem, self._column, self._scale = problem, column, scale
        self._settings = settings or FarmSettings()

    def __call__(
        self,
        prompts: Sequence[Any],  # noqa: ARG002
        completions: Sequence[Any],
        **columns: Any,
    ) -> list[float | None]:
        """Called by TRL with a batch: texts, or lists of messages, and the dataset's other columns.

        Raises:
            KeyError: the rows have no column with the problem.
            FarmError: nothing can be judged on this machine, or a problem is malformed.
        """
        problems = columns[self._column] if self._problem is None else [self._problem] * len(completions)
        verdicts = scorer(self._settings).score(zip(problems, completions, strict=True))
        return [self._points(verdict) for verdict in verdicts]

    def _points(self, verdict: Verdict) -> float | None:
        return verdict.reward.total * self._scale if isinstance(verdict, Scored) else None
