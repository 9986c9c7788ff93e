"""A judge in a process of its own on every core, for tests of thousands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType

from reward_farm.judge import Judge
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Verdict

SHARE = 48
"""Submissions that a process takes at once: three batches."""
_judges: dict[str, Judge] = {}


class ManyJudges:
    """Judges with any settings; each process makes a judge of each once."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(min(8, os.cpu_count() or 1), get_context("spawn"))

    def __enter__(self) -> ManyJudges:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def judge(self, settings: FarmSettings, submissions: Sequence[Submission]) -> list[Verdict]:
        """Verdicts in order, as `Judge.judge` gives them."""
        shares = [(settings, submissions[at : at + SHARE]) for at in range(0, len(submissions), SHARE)]
        return [verdict for verdicts in self._pool.map(_judge, shares) for verdict in verdicts]


def _judge(share: tuple[FarmSettings, Sequence[Submission]]) -> list[Verdict]:
    settings, submissions = share
    key = settings.model_dump_json()
    if key not in _judges:
        _judges[key] = Judge(settings)
    return _judges[key].judge(submissions)
