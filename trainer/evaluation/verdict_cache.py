"""Verdicts on disk by content: the same file for the same problem, by the same judge, is judged once.

One SQLite file, safe for several processes and against SIGKILL. What hangs on the clock, and faults, are never kept.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from reward_farm.problem import Problem, Submission
from reward_farm.verdict import Outcome, Scored, Verdict
from trainer.evaluation.errors import EvaluationError

_SCORED = TypeAdapter(Scored)
_BY_CLOCK = (Outcome.COMPILE_TIMEOUT, Outcome.TEST_TIMEOUT)
"""Another time the same file may be faster."""
SCHEMA = 1
"""Raised when a verdict's meaning changes; earlier ones are then judged anew."""
COMMIT_EVERY = 64
"""Verdicts to a transaction: what a kill loses is only judged again."""


class VerdictCache:
    """Use it from one thread; close it at the end."""

    def __init__(self, path: Path, judged_by: str) -> None:
        """`judged_by` says all that a verdict depends on beside file and problem: the compiler, flags and weights.

        Raises:
            EvaluationError: the file can't be used.
        """
        self._judged_by = judged_by
        self._uncommitted = 0
        self._problem_texts: dict[int, tuple[Problem, str]] = {}
        self.hits = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=30)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute("CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, verdict TEXT)")
        except (OSError, sqlite3.Error) as error:
            raise EvaluationError(
                f"the cache of verdicts {path} can't be used ({error}). Remove it, or go without: --no-cache."
            ) from error

    def through(self, judge: Callable[[Submission], Awaitable[Verdict]]) -> Callable[[Submission], Awaitable[Verdict]]:
        """A judge that looks here first."""

        async def cached(submission: Submission) -> Verdict:
            key = self._key(submission)
            if (known := self._get(key)) is not None:
                self.hits += 1
                return replace(known, id=submission.id, cached=True)
            verdict = await judge(submission)
            if isinstance(verdict, Scored) and verdict.outcome not in _BY_CLOCK:
                self._put(key, verdict)
            return verdict

        return cached

    def close(self) -> None:
        """Commit, and close the file."""
        self._database.commit()
        self._database.close()

    def _get(self, key: bytes) -> Scored | None:
        row = self._database.execute("SELECT verdict FROM verdicts WHERE key = ?", (key,)).fetchone()
        try:
            return _SCORED.validate_json(row[0]) if row else None
        except ValidationError:
            return None

    def _put(self, key: bytes, verdict: Scored) -> None:
        text = _SCORED.dump_json(verdict).decode()
        self._database.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", (key, text))
        self._uncommitted += 1
        if self._uncommitted >= COMMIT_EVERY:
            self._database.commit()
            self._uncommitted = 0

    def _key(self, submission: Submission) -> bytes:
        text = f"({SCHEMA}, {self._judged_by!r}, {submission.source!r}, {self._text(submission.problem)})"
        return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()

    def _text(self, problem: Problem) -> str:
        """Its `repr`, made once: many samples share a problem, and its cases are long."""
        known = self._problem_texts.get(id(problem))
        if known is None:
            known = self._problem_texts[id(problem)] = problem, repr(problem)
        return known[1]
