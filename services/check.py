"""`ferrotype check`: one file through the farm, for a person or a script. Judges in this process, and needs no Ray."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from reward_farm.document import read_problem, write_verdict
from reward_farm.errors import FarmError
from reward_farm.judge import Judge
from reward_farm.problem import Problem, Submission
from reward_farm.rendering import render
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Outcome, Scored, Verdict

PASSED, FAILED, NOT_JUDGED = 0, 1, 2

MOST_BYTES = 1 << 20
"""A person's own file may be larger than a completion; past this, the parser's depth checks take seconds."""


def check(file: str, entry: str, problem: Path | None, *, as_json: bool, clippy: bool) -> int:
    """Prints the verdict and returns the exit code: 0 it passes, 1 it does not, 2 it could not be judged."""
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        # In a program `main` is in use, though no library calls it; where there is none, any file will do.
        wanted = [entry] if entry else ["main", ""]
        problems = [read_problem(problem.read_text())] if problem else [Problem(name, (), "()") for name in wanted]
        # What is no UTF-8 is the gate's to refuse.
        source, name = raw.decode("utf-8", "surrogateescape"), "<stdin>" if file == "-" else file
        with Judge(FarmSettings(clippy=clippy, max_source_bytes=MOST_BYTES, cache_size=0)) as judge:
            for asked in problems:
                [verdict] = judge.judge([Submission(name, source, asked)])
                if not (isinstance(verdict, Scored) and verdict.outcome is Outcome.MISSING_ITEM):
                    break
    except (FarmError, OSError, UnicodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_JUDGED
    if as_json:
        print(json.dumps(write_verdict(verdict), indent=2))
    else:
        print(render(verdict, source, name, asked.entry, colour=_colour()), end="")
    return _exit_code(verdict)


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _exit_code(verdict: Verdict) -> int:
    if isinstance(verdict, InfraFault):
        return NOT_JUDGED
    return PASSED if verdict.passed else FAILED
